"""OptimizationService: runs, their generations, and individuals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import Message

from ai_grpc.errors import AlreadyExists, FailedPrecondition, InvalidArgument, Violation, missing
from ai_grpc.exchange.checks import check_ids
from ai_grpc.exchange.topics import Topics, TopicSelection, some
from ai_grpc.records import Records
from ai_grpc.v1 import errors_pb2
from ai_grpc.v1 import optimization_pb2 as pb
from ai_grpc.v1.optimization_pb2_grpc import OptimizationServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class OptimizationServicer(OptimizationServiceServicer):
    """Answers from the records of optimization, and tells those who subscribe of new generations."""

    def __init__(self, records: Records, topics: Topics) -> None:
        self._records, self._topics = records, topics

    async def StartOptimizationRun(
        self, request: pb.StartOptimizationRunRequest, context: Context
    ) -> pb.StartOptimizationRunResponse:
        duplicate = await self._records.create("start_optimization_run", request, "run_id")
        return pb.StartOptimizationRunResponse(run=await self._run(request), duplicate=duplicate)

    async def HeartbeatOptimizationRun(
        self, request: pb.HeartbeatOptimizationRunRequest, context: Context
    ) -> pb.HeartbeatOptimizationRunResponse:
        row = await self._records.row("heartbeat_optimization_run", request)
        if row is None:
            raise _ended(await self._run(request))
        return pb.HeartbeatOptimizationRunResponse(stop_requested=row["stop_requested"])

    async def RecordGeneration(
        self, request: pb.RecordGenerationRequest, context: Context
    ) -> pb.RecordGenerationResponse:
        row = await self._records.write_with("record_generation", request, "individuals")
        if row is None:
            raise missing("run_id", request.run_id)
        match row["outcome"]:
            case "ENDED":
                raise _ended(await self._run(request))
            case "DIFFERS":
                raise _exists(request)
            case "RECORDED":
                self._topics.changed()
        return pb.RecordGenerationResponse(
            generation=await self._records.one(pb.Generation, "get_generation", request, "run_id"),
            duplicate=row["outcome"] == "DUPLICATE",
            stop_requested=row["stop_requested"],
        )

    async def CompleteOptimizationRun(
        self, request: pb.CompleteOptimizationRunRequest, context: Context
    ) -> pb.CompleteOptimizationRunResponse:
        status = "stopped" if request.stopped else "completed"
        return pb.CompleteOptimizationRunResponse(run=await self._end(request, status, error_message=""))

    async def FailOptimizationRun(
        self, request: pb.FailOptimizationRunRequest, context: Context
    ) -> pb.FailOptimizationRunResponse:
        if not request.error_message:
            raise InvalidArgument(Violation("error_message", "is required"))
        nothing = dict.fromkeys(("best_individual", "best_fitness", "convergence_data", "final_population"))
        return pb.FailOptimizationRunResponse(run=await self._end(request, "failed", **nothing))

    async def RequestOptimizationStop(
        self, request: pb.RequestOptimizationStopRequest, context: Context
    ) -> pb.RequestOptimizationStopResponse:
        await self._records.row("request_optimization_stop", request)
        run = await self._run(request)
        if not run.stop_requested:
            raise _ended(run)
        return pb.RequestOptimizationStopResponse(run=run)

    async def GetOptimizationRun(
        self, request: pb.GetOptimizationRunRequest, context: Context
    ) -> pb.GetOptimizationRunResponse:
        return pb.GetOptimizationRunResponse(run=await self._run(request))

    async def ListOptimizationRuns(
        self, request: pb.ListOptimizationRunsRequest, context: Context
    ) -> pb.ListOptimizationRunsResponse:
        runs, token = await self._records.page(pb.OptimizationRun, "list_optimization_runs", request)
        return pb.ListOptimizationRunsResponse(runs=runs, next_page_token=token)

    async def ListIndividuals(self, request: pb.ListIndividualsRequest, context: Context) -> pb.ListIndividualsResponse:
        run = await self._records.row("get_direction", request)
        if run is None:
            raise missing("run_id", request.run_id)
        best_first = {"MAXIMIZE": "list_largest_individuals", "MINIMIZE": "list_smallest_individuals"}
        query = "list_individuals_by_rank" if request.HasField("generation") else best_first[run["direction"]]
        individuals, token = await self._records.page(pb.Individual, query, request)
        return pb.ListIndividualsResponse(individuals=individuals, next_page_token=token)

    async def GetConvergence(self, request: pb.GetConvergenceRequest, context: Context) -> pb.GetConvergenceResponse:
        points, token = await self._records.page(pb.ConvergencePoint, "get_convergence", request)
        if not points:
            await self._run(request)
        return pb.GetConvergenceResponse(points=points, next_page_token=token)

    def SubscribeGenerations(  # type: ignore[override]  # yields encoded messages: see interceptors._serialize
        self, request: pb.SubscribeGenerationsRequest, context: Context
    ) -> AsyncIterator[bytes]:
        return self._topics.messages(pb.SubscribeGenerationsResponse, _selection, request)

    async def _run(self, request: Message) -> pb.OptimizationRun:
        return await self._records.one(pb.OptimizationRun, "get_optimization_run", request, "run_id")

    async def _end(self, request: Message, status: str, **given: object) -> pb.OptimizationRun:
        """Ends a run that runs, or finds that it ended just so before."""
        ended = await self._records.row("end_optimization_run", request, place="", status=status, **given)
        run = await self._run(request)
        if ended is None:
            raise _ended(run)
        return run


def _selection(request: pb.SubscribeGenerationsRequest) -> TopicSelection:
    """What a subscriber wants. Raises InvalidArgument."""
    wanted = request.filter
    check_ids({"filter.run_ids": wanted.run_ids, "filter.model_ids": wanted.model_ids})
    return TopicSelection(
        "GENERATION", run_ids=some(map(str.lower, wanted.run_ids)), model_ids=some(map(str.lower, wanted.model_ids))
    )


def _ended(run: pb.OptimizationRun) -> FailedPrecondition:
    state = pb.OptimizationState.Name(run.state).removeprefix("OPTIMIZATION_STATE_")
    return FailedPrecondition(
        errors_pb2.ERROR_REASON_OPTIMIZATION_RUN_ENDED,
        f"optimization run {run.run_id} is {state} already",
        run_id=run.run_id,
        state=state,
    )


def _exists(request: pb.RecordGenerationRequest) -> AlreadyExists:
    return AlreadyExists(
        errors_pb2.ERROR_REASON_GENERATION_EXISTS,
        f"generation {request.generation} of optimization run {request.run_id} is there with other content",
        run_id=request.run_id,
        generation=request.generation,
    )
