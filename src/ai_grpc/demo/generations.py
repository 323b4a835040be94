"""The generations of the models, as the service streams them while they are bred."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict

from ai_grpc.client import connect
from ai_grpc.v1 import optimization_pb2 as pb
from ai_grpc.v1 import optimization_pb2_grpc, streams_pb2


async def hear(
    target: str, model_ids: Mapping[str, str], count: int, *, within: float
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """As many generations of the models, from their first on, each with its symbol.

    Raises AioRpcError when they have not come within the seconds.
    """
    symbols = {model_id: symbol for symbol, model_id in model_ids.items()}
    wanted = pb.GenerationFilter(model_ids=model_ids.values())
    request = pb.SubscribeGenerationsRequest(earliest=streams_pb2.Earliest(), filter=wanted)
    async with connect(target) as channel:
        stub: optimization_pb2_grpc.OptimizationServiceAsyncStub = optimization_pb2_grpc.OptimizationServiceStub(
            channel
        )
        async for response in stub.SubscribeGenerations(request, timeout=within):
            for event in response.batch.events:
                yield symbols[event.generation.model_id], _message(event.generation)
                count -= 1
                if not count:
                    return


def _message(generation: pb.Generation) -> dict[str, Any]:
    return {
        "number": generation.generation,
        "best_fitness": generation.best_fitness,
        "average_fitness": generation.average_fitness,
        "best": {name: int(value) for name, value in MessageToDict(generation.best_individual).items()},
    }
