"""TrainingService: sessions, their metrics, and episodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

import grpc

from ai_grpc.batches import Batch
from ai_grpc.errors import AlreadyExists, FailedPrecondition, InvalidArgument, Violation, miscounted, missing
from ai_grpc.fields import numbers
from ai_grpc.ingest import ingest
from ai_grpc.lifecycle import Lifecycle
from ai_grpc.records import Records
from ai_grpc.v1 import errors_pb2
from ai_grpc.v1 import training_pb2 as pb
from ai_grpc.v1.training_pb2_grpc import TrainingServiceServicer

MAX_SERIES: Final = 100
MAX_VALUES: Final = 10_000
MAX_LENGTH: Final = 100_000
EPISODE_KEY: Final = ("session_id", "episode_number")

Context = grpc.aio.ServicerContext[Any, Any]


class TrainingServicer(TrainingServiceServicer):
    """Answers from the records of training."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._sessions = Lifecycle(records, pb.TrainingSession, "training_session", "session_id")

    async def StartTrainingSession(
        self, request: pb.StartTrainingSessionRequest, context: Context
    ) -> pb.StartTrainingSessionResponse:
        session, duplicate = await self._sessions.start(request)
        return pb.StartTrainingSessionResponse(session=session, duplicate=duplicate)

    async def HeartbeatTrainingSession(
        self, request: pb.HeartbeatTrainingSessionRequest, context: Context
    ) -> pb.HeartbeatTrainingSessionResponse:
        return pb.HeartbeatTrainingSessionResponse(stop_requested=await self._sessions.heartbeat(request))

    async def AppendTrainingMetrics(
        self, request: pb.AppendTrainingMetricsRequest, context: Context
    ) -> pb.AppendTrainingMetricsResponse:
        _check_metrics(request)
        row = await self._records.row(
            "append_training_metrics",
            request,
            names=[series.name for series in request.series],
            offsets=[series.offset for series in request.series],
            pieces=[numbers(f"series[{n}].values", series.values) for n, series in enumerate(request.series)],
        )
        if row is None:
            raise missing("session_id", request.session_id)
        if row["state"] != "running":
            raise await self._sessions.ended(request)
        if row["misfit"] is not None:
            raise _out_of_step(request, row["misfit"], row["length"])
        return pb.AppendTrainingMetricsResponse(stop_requested=row["stop_requested"])

    async def CompleteTrainingSession(
        self, request: pb.CompleteTrainingSessionRequest, context: Context
    ) -> pb.CompleteTrainingSessionResponse:
        return pb.CompleteTrainingSessionResponse(session=await self._sessions.complete(request))

    async def FailTrainingSession(
        self, request: pb.FailTrainingSessionRequest, context: Context
    ) -> pb.FailTrainingSessionResponse:
        session = await self._sessions.fail(request, final_performance=None, model_artifacts_path="")
        return pb.FailTrainingSessionResponse(session=session)

    async def RequestTrainingStop(
        self, request: pb.RequestTrainingStopRequest, context: Context
    ) -> pb.RequestTrainingStopResponse:
        return pb.RequestTrainingStopResponse(session=await self._sessions.request_stop(request))

    async def GetTrainingSession(
        self, request: pb.GetTrainingSessionRequest, context: Context
    ) -> pb.GetTrainingSessionResponse:
        return pb.GetTrainingSessionResponse(session=await self._sessions.get(request))

    async def ListTrainingSessions(
        self, request: pb.ListTrainingSessionsRequest, context: Context
    ) -> pb.ListTrainingSessionsResponse:
        sessions, token = await self._records.page(pb.TrainingSession, "list_training_sessions", request)
        return pb.ListTrainingSessionsResponse(sessions=sessions, next_page_token=token)

    async def AddEpisodes(
        self, request_iterator: AsyncIterator[pb.AddEpisodesRequest], context: Context
    ) -> pb.AddEpisodesResponse:
        duplicates = 0

        async def store(batch: Batch[pb.Episode]) -> None:
            nonlocal duplicates
            duplicates += sum(row["duplicate"] for row in await self._records.store(batch))

        prepare = partial(self._records.prepare, "add_episodes", key=EPISODE_KEY, exists=_exists)
        count = await ingest(request_iterator, "episodes", prepare, store)
        return pb.AddEpisodesResponse(episodes=count, duplicates=duplicates)

    async def ListEpisodes(self, request: pb.ListEpisodesRequest, context: Context) -> pb.ListEpisodesResponse:
        episodes, token = await self._records.page(pb.Episode, "list_episodes", request)
        if not episodes:
            await self._sessions.get(request)
        return pb.ListEpisodesResponse(episodes=episodes, next_page_token=token)


def _check_metrics(request: pb.AppendTrainingMetricsRequest) -> None:
    """Raises InvalidArgument."""
    violations = [
        Violation(f"facts.{name}", "must not be a list, which is a series")
        for name, value in request.facts.fields.items()
        if value.HasField("list_value")
    ]
    pieces = request.series
    violations += miscounted("series", len(pieces), 0, MAX_SERIES)
    names: set[str] = set()
    for number, piece in enumerate(pieces[:MAX_SERIES]):
        place = f"series[{number}]"
        if not 0 < len(piece.name) <= 100 or "\0" in piece.name:
            violations.append(Violation(f"{place}.name", "must have 1 to 100 characters, none of them NUL"))
        if piece.name in names:
            violations.append(Violation(f"{place}.name", "occurs twice"))
        if not 0 <= piece.offset <= MAX_LENGTH - len(piece.values):
            rule = f"must not be negative, and {MAX_LENGTH} at most with the elements of values"
            violations.append(Violation(f"{place}.offset", rule))
        violations += miscounted(f"{place}.values", len(piece.values), 1, MAX_VALUES)
        names.add(piece.name)
    if violations:
        raise InvalidArgument(*violations)


def _out_of_step(request: pb.AppendTrainingMetricsRequest, name: str, length: int | None) -> FailedPrecondition:
    told = f"series {name!r} has {length} values; send those that follow, or the same again"
    if length is None:
        told = f"{name!r} is a fact, not a series; take another name"
    elif name in request.facts.fields:
        told = f"{name!r} is a series of {length} values, not a fact; take another name"
    return FailedPrecondition(
        errors_pb2.ERROR_REASON_SERIES_OUT_OF_STEP,
        told,
        session_id=request.session_id,
        name=name,
        length=length or 0,
    )


def _exists(episode: pb.Episode) -> AlreadyExists:
    return AlreadyExists(
        errors_pb2.ERROR_REASON_EPISODE_EXISTS,
        f"episode {episode.episode_number} of training session {episode.session_id} is there with other content",
        session_id=episode.session_id,
        episode_number=episode.episode_number,
    )
