"""Optimization runs and their generations: the words that their tests share."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, Final

import grpc
from hypothesis import strategies as st

from ai_grpc.v1 import optimization_pb2 as pb
from ai_grpc.v1.optimization_pb2_grpc import OptimizationServiceStub
from tests.signals import an_active_model

Subscription = grpc.aio.UnaryStreamCall[pb.SubscribeGenerationsRequest, pb.SubscribeGenerationsResponse]

# PostgreSQL knows no negative zero.
NUMBERS: Final = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
TEXT: Final = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
VALUES: Final = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=6,
)
MEMBERS: Final = st.dictionaries(TEXT, VALUES, max_size=3)


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


async def the_run(channel: grpc.aio.Channel, run_id: str) -> pb.OptimizationRun:
    """The run as it is now."""
    request = pb.GetOptimizationRunRequest(run_id=run_id)
    return (await OptimizationServiceStub(channel).GetOptimizationRun(request, timeout=10)).run


async def individuals_of(channel: grpc.aio.Channel, run_id: str, generation: int | None = None) -> list[pb.Individual]:
    """All of them, page by page."""
    request = pb.ListIndividualsRequest(page_size=3, run_id=run_id, generation=generation)
    individuals: list[pb.Individual] = []
    while not individuals or request.page_token:
        response = await OptimizationServiceStub(channel).ListIndividuals(request)
        individuals += response.individuals
        request.page_token = response.next_page_token
    return individuals


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
