"""TrainingService: sessions, their metrics, and episodes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from ai_grpc.batches import Batch
from ai_grpc.errors import AlreadyExists, FailedPrecondition, InvalidArgument, Violation, missing
from ai_grpc.fields import numbers
from ai_grpc.ingest import ingest
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

    async def StartTrainingSession(
        self, request: pb.StartTrainingSessionRequest, context: Context
    ) -> pb.StartTrainingSessionResponse:
        duplicate = await self._records.create("start_training_session", request, "session_id")
        return pb.StartTrainingSessionResponse(session=await self._session(request), duplicate=duplicate)

    async def HeartbeatTrainingSession(
        self, request: pb.HeartbeatTrainingSessionRequest, context: Context
    ) -> pb.HeartbeatTrainingSessionResponse:
        row = await self._records.row("heartbeat_training_session", request)
        if row is None:
            raise _ended(await self._session(request))
        return pb.HeartbeatTrainingSessionResponse(stop_requested=row["stop_requested"])

    async def AppendTrainingMetrics(
        self, request: pb.AppendTrainingMetricsRequest, context: Context
    ) -> pb.AppendTrainingMetricsResponse:
        _check_series(request.series)
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
            raise _ended(await self._session(request))
        if row["misfit"] is not None:
            raise FailedPrecondition(
                errors_pb2.ERROR_REASON_SERIES_OUT_OF_STEP,
                f"series {row['misfit']!r} has {row['length']} values; send those that follow, or the same again",
                session_id=request.session_id,
                name=row["misfit"],
                length=row["length"],
            )
        return pb.AppendTrainingMetricsResponse(stop_requested=row["stop_requested"])

    async def CompleteTrainingSession(
        self, request: pb.CompleteTrainingSessionRequest, context: Context
    ) -> pb.CompleteTrainingSessionResponse:
        status = "stopped" if request.stopped else "completed"
        return pb.CompleteTrainingSessionResponse(session=await self._end(request, status, error_message=""))

    async def FailTrainingSession(
        self, request: pb.FailTrainingSessionRequest, context: Context
    ) -> pb.FailTrainingSessionResponse:
        if not request.error_message:
            raise InvalidArgument(Violation("error_message", "is required"))
        session = await self._end(request, "failed", final_performance=None, model_artifacts_path="")
        return pb.FailTrainingSessionResponse(session=session)

    async def RequestTrainingStop(
        self, request: pb.RequestTrainingStopRequest, context: Context
    ) -> pb.RequestTrainingStopResponse:
        asked = await self._records.row("request_training_stop", request)
        session = await self._session(request)
        if asked is None:
            raise _ended(session)
        return pb.RequestTrainingStopResponse(session=session)

    async def GetTrainingSession(
        self, request: pb.GetTrainingSessionRequest, context: Context
    ) -> pb.GetTrainingSessionResponse:
        return pb.GetTrainingSessionResponse(session=await self._session(request))

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
            await self._session(request)
        return pb.ListEpisodesResponse(episodes=episodes, next_page_token=token)

    async def _session(self, request: Message) -> pb.TrainingSession:
        return await self._records.one(pb.TrainingSession, "get_training_session", request, "session_id")

    async def _end(self, request: Message, status: str, **given: object) -> pb.TrainingSession:
        """Ends a session that runs, or finds that it ended just so before."""
        ended = await self._records.row("end_training_session", request, place="", status=status, **given)
        session = await self._session(request)
        if ended is None:
            raise _ended(session)
        return session


def _check_series(pieces: Sequence[pb.AppendTrainingMetricsRequest.Series]) -> None:
    """Raises InvalidArgument."""
    violations = []
    if len(pieces) > MAX_SERIES:
        violations.append(Violation("series", f"must have at most {MAX_SERIES} elements, not {len(pieces)}"))
    names: set[str] = set()
    for number, piece in enumerate(pieces[:MAX_SERIES]):
        place = f"series[{number}]"
        if not 0 < len(piece.name) <= 100 or "\0" in piece.name:
            violations.append(Violation(f"{place}.name", "must have 1 to 100 characters, none of them NUL"))
        if piece.name in names:
            violations.append(Violation(f"{place}.name", "occurs twice"))
        if piece.offset < 0:
            violations.append(Violation(f"{place}.offset", "must not be negative"))
        if not 0 < len(piece.values) <= MAX_VALUES or piece.offset + len(piece.values) > MAX_LENGTH:
            violations.append(
                Violation(
                    f"{place}.values", f"must have 1 to {MAX_VALUES} elements, and {MAX_LENGTH} with those before"
                )
            )
        names.add(piece.name)
    if violations:
        raise InvalidArgument(*violations)


def _ended(session: pb.TrainingSession) -> FailedPrecondition:
    state = pb.TrainingState.Name(session.state).removeprefix("TRAINING_STATE_")
    return FailedPrecondition(
        errors_pb2.ERROR_REASON_TRAINING_SESSION_ENDED,
        f"training session {session.session_id} is {state} already",
        session_id=session.session_id,
        state=state,
    )


def _exists(episode: pb.Episode) -> AlreadyExists:
    return AlreadyExists(
        errors_pb2.ERROR_REASON_EPISODE_EXISTS,
        f"episode {episode.episode_number} of training session {episode.session_id} is there with other content",
        session_id=episode.session_id,
        episode_number=episode.episode_number,
    )
