"""Anomalies and generations as the clients of a run write them: in the form in which the service gives them back."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

from grpc import aio

from ai_grpc.client.publication import new_signal_id
from ai_grpc.v1 import anomalies_pb2, optimization_pb2
from ai_grpc.v1.optimization_pb2_grpc import OptimizationServiceStub
from tests.anomalies import an_anomaly
from tests.chaos.signals import SYMBOLS
from tests.signals import a_struct

TALKATIVE: Final = 0.1
HIGHEST: Final = 2**31
INDIVIDUALS: Final = 4
KINDS: Final = (anomalies_pb2.AnomalyEvent.KIND_REPORTED, anomalies_pb2.AnomalyEvent.KIND_RESOLVED)


class Run(NamedTuple):
    """An optimization that goes on for as long as it is chaotic."""

    run_id: str
    model_id: str


async def a_run(channel: aio.Channel, model_id: str) -> Run:
    """One that was started just now."""
    request = optimization_pb2.StartOptimizationRunRequest(
        run_id=new_signal_id(), model_id=model_id, optimization_type="parameters", objective_function="sharpe_ratio"
    )
    request.heartbeat_timeout.FromSeconds(86_400)
    await OptimizationServiceStub(channel).StartOptimizationRun(request, timeout=10)
    return Run(request.run_id, model_id)


def some_anomalies(model_ids: Sequence[str], rng: Random, count: int) -> list[anomalies_pb2.Anomaly]:
    """So many anomalies, no two alike."""
    return [_anomaly(rng.choice(model_ids), rng) for _ in range(count)]


def some_generations(runs: Sequence[Run], rng: Random, count: int) -> list[optimization_pb2.Generation]:
    """So many generations, in no order: a number does not come twice."""
    return [_generation(rng.choice(runs), rng) for _ in range(count)]


def an_anomaly_filter(model_ids: Sequence[str], rng: Random) -> anomalies_pb2.AnomalyFilter:
    """What a subscriber may want; rarely nothing at all."""
    wanted = anomalies_pb2.AnomalyFilter()
    if rng.random() < 0.4:
        wanted.symbols.extend(rng.sample(SYMBOLS, rng.randint(1, 3)))
    if rng.random() < 0.3:
        wanted.model_ids.append(rng.choice(model_ids))
    if rng.random() < 0.5:
        wanted.min_severity = round(rng.uniform(0, 6), 1)
    if rng.random() < 0.3:
        wanted.kinds.append(rng.choice(KINDS))
    return wanted


def _anomaly(model_id: str, rng: Random) -> anomalies_pb2.Anomaly:
    anomaly = an_anomaly(
        model_id,
        anomaly_id=new_signal_id(),
        symbol=rng.choice(SYMBOLS),
        severity_score=rng.uniform(0, 9),
        confidence=round(rng.random(), 4),
    )
    if rng.random() < TALKATIVE:
        details = a_struct(note="x" * rng.randrange(2000), place=rng.randrange(10**6), deep={"known": True})
        anomaly.anomaly_details.CopyFrom(details)
    return anomaly


def _generation(run: Run, rng: Random) -> optimization_pb2.Generation:
    return optimization_pb2.Generation(
        run_id=run.run_id,
        model_id=run.model_id,
        generation=rng.randrange(HIGHEST),
        best_fitness=rng.random(),
        average_fitness=rng.random(),
        population_diversity=rng.random(),
        best_individual=a_struct(window=rng.randrange(100)),
        individual_count=rng.randint(1, INDIVIDUALS),
    )
