"""OptimizationService: runs, their generations, and individuals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from ai_grpc.errors import AlreadyExists, missing
from ai_grpc.exchange.checks import check_ids
from ai_grpc.exchange.topics import Topics, TopicSelection, some
from ai_grpc.lifecycle import Lifecycle
from ai_grpc.records import Records
from ai_grpc.v1 import errors_pb2
from ai_grpc.v1 import optimization_pb2 as pb
from ai_grpc.v1.optimization_pb2_grpc import OptimizationServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class OptimizationServicer(OptimizationServiceServicer):
    """Answers from the records of optimization, and tells those who subscribe of new generations."""

    def __init__(self, records: Records, topics: Topics) -> None:
        self._records, self._topics = records, topics
        self._runs = Lifecycle(records, pb.OptimizationRun, "optimization_run", "run_id")

    async def StartOptimizationRun(
        self, request: pb.StartOptimizationRunRequest, context: Context
    ) -> pb.StartOptimizationRunResponse:
        run, duplicate = await self._runs.start(request)
        return pb.StartOptimizationRunResponse(run=run, duplicate=duplicate)

    async def HeartbeatOptimizationRun(
        self, request: pb.HeartbeatOptimizationRunRequest, context: Context
    ) -> pb.HeartbeatOptimizationRunResponse:
        return pb.HeartbeatOptimizationRunResponse(stop_requested=await self._runs.heartbeat(request))

    async def RecordGeneration(
        self, request: pb.RecordGenerationRequest, context: Context
    ) -> pb.RecordGenerationResponse:
        row = await self._records.write_with("record_generation", request, "individuals")
        if row is None:
            raise missing("run_id", request.run_id)
        match row["outcome"]:
            case "ENDED":
                raise await self._runs.ended(request)
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
        return pb.CompleteOptimizationRunResponse(run=await self._runs.complete(request))

    async def FailOptimizationRun(
        self, request: pb.FailOptimizationRunRequest, context: Context
    ) -> pb.FailOptimizationRunResponse:
        nothing = dict.fromkeys(("best_individual", "best_fitness", "convergence_data", "final_population"))
        return pb.FailOptimizationRunResponse(run=await self._runs.fail(request, **nothing))

    async def RequestOptimizationStop(
        self, request: pb.RequestOptimizationStopRequest, context: Context
    ) -> pb.RequestOptimizationStopResponse:
        return pb.RequestOptimizationStopResponse(run=await self._runs.request_stop(request))

    async def GetOptimizationRun(
        self, request: pb.GetOptimizationRunRequest, context: Context
    ) -> pb.GetOptimizationRunResponse:
        return pb.GetOptimizationRunResponse(run=await self._runs.get(request))

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
            await self._runs.get(request)
        return pb.GetConvergenceResponse(points=points, next_page_token=token)

    def SubscribeGenerations(  # type: ignore[override]  # yields encoded messages: see interceptors._serialize
        self, request: pb.SubscribeGenerationsRequest, context: Context
    ) -> AsyncIterator[bytes]:
        return self._topics.messages(pb.SubscribeGenerationsResponse, _selection, request)


def _selection(request: pb.SubscribeGenerationsRequest) -> TopicSelection:
    """What a subscriber wants. Raises InvalidArgument."""
    wanted = request.filter
    check_ids({"filter.run_ids": wanted.run_ids, "filter.model_ids": wanted.model_ids})
    return TopicSelection(
        "GENERATION", run_ids=some(map(str.lower, wanted.run_ids)), model_ids=some(map(str.lower, wanted.model_ids))
    )


def _exists(request: pb.RecordGenerationRequest) -> AlreadyExists:
    return AlreadyExists(
        errors_pb2.ERROR_REASON_GENERATION_EXISTS,
        f"generation {request.generation} of optimization run {request.run_id} is there with other content",
        run_id=request.run_id,
        generation=request.generation,
    )
