"""Optimization runs and their generations: the words that their tests share."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import grpc

from ai_grpc.v1 import optimization_pb2 as pb
from ai_grpc.v1.optimization_pb2_grpc import OptimizationServiceStub
from tests.signals import an_active_model

Subscription = grpc.aio.UnaryStreamCall[pb.SubscribeGenerationsRequest, pb.SubscribeGenerationsResponse]


def a_run(model_id: str, **changes: Any) -> pb.StartOptimizationRunRequest:
    """A run that can be started, but for the changes."""
    fields: dict[str, Any] = {
        "run_id": str(uuid.uuid4()),
        "model_id": model_id,
        "optimization_type": "parameter_optimization",
        "objective_function": "sharpe_ratio",
    }
    return pb.StartOptimizationRunRequest(**{**fields, **changes})


def an_individual(fitness: float | None = 0.5, **changes: Any) -> pb.Individual:
    """An individual that can be recorded, but for the changes; its genes are those of no other fitness."""
    return pb.Individual(**{"genes": {"gene": fitness}, "fitness_score": fitness, **changes})


def a_generation(run_id: str, number: int, *fitness: float, **changes: Any) -> pb.RecordGenerationRequest:
    """A generation of individuals with such fitness."""
    individuals = [an_individual(each) for each in fitness]
    return pb.RecordGenerationRequest(**{"run_id": run_id, "generation": number, "individuals": individuals, **changes})


async def a_running_run(channel: grpc.aio.Channel, **changes: Any) -> str:
    """The id of a run started just now, of a model of its own unless the changes name one."""
    model_id = changes.pop("model_id", None) or await an_active_model(channel)
    response = await OptimizationServiceStub(channel).StartOptimizationRun(a_run(model_id, **changes))
    return response.run.run_id


def scores(individuals: Iterable[pb.Individual]) -> list[float]:
    """The fitness of each."""
    return [individual.fitness_score for individual in individuals]


def subscribe(channel: grpc.aio.Channel, **request: Any) -> Subscription:
    """A subscription, with the latest event behind it unless it says where to begin."""
    message = pb.SubscribeGenerationsRequest(**request)
    if message.WhichOneof("start") is None:
        message.latest.SetInParent()
    return OptimizationServiceStub(channel).SubscribeGenerations(message)


async def events(call: Subscription, count: int) -> list[pb.GenerationEvent]:
    """The next events, so many and no more."""
    received: list[pb.GenerationEvent] = []
    while len(received) < count:
        received += (await anext(aiter(call))).batch.events
    assert len(received) == count
    return received


async def until(call: Subscription, kind: str) -> list[pb.SubscribeGenerationsResponse]:
    """The next messages, up to and with the first of a kind."""
    messages: list[pb.SubscribeGenerationsResponse] = []
    while not messages or messages[-1].WhichOneof("event") != kind:
        messages.append(await anext(aiter(call)))
    return messages
