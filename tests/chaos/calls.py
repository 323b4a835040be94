"""The calls by which clients write: one for each noun, and those that end something."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from grpc import aio

from ai_grpc.v1 import anomalies_pb2, optimization_pb2, signals_pb2
from ai_grpc.v1.anomalies_pb2_grpc import AnomalyServiceStub
from ai_grpc.v1.optimization_pb2_grpc import OptimizationServiceStub
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub

CALL_SECONDS: Final = 3.0


async def send(channel: aio.Channel, items: Sequence[Any]) -> Sequence[Any]:
    """Sends what is to be written, signals if it is nothing; returns the answers, one for each."""
    return await (_SENDS[type(items[0])] if items else _publish)(channel, items)


async def end(channel: aio.Channel, key: str, state: str, request_id: str) -> int:
    """Ends a signal, or an anomaly with a note; returns the sequence of that, 0 if it is not told."""
    kind, _, note = state.partition(" ")
    if kind == "RESOLVED":
        resolution = anomalies_pb2.ResolveAnomalyRequest(anomaly_id=key, resolution_note=note)
        await AnomalyServiceStub(channel).ResolveAnomaly(resolution, timeout=CALL_SECONDS)
        return 0
    wanted = signals_pb2.SignalState.Value(f"SIGNAL_STATE_{kind}")
    request = signals_pb2.UpdateSignalStateRequest(signal_id=key, state=wanted, request_id=request_id)
    response = await SignalServiceStub(channel).UpdateSignalState(request, timeout=CALL_SECONDS)
    return response.position.sequence


async def _publish(channel: aio.Channel, signals: Sequence[signals_pb2.Signal]) -> Sequence[Any]:
    request = signals_pb2.PublishSignalsRequest(signals=signals)
    return (await SignalServiceStub(channel).PublishSignals(request, timeout=CALL_SECONDS)).results


async def _report(channel: aio.Channel, anomalies: Sequence[anomalies_pb2.Anomaly]) -> Sequence[Any]:
    request = anomalies_pb2.ReportAnomaliesRequest(anomalies=anomalies)
    return (await AnomalyServiceStub(channel).ReportAnomalies(request, timeout=CALL_SECONDS)).results


async def _record(channel: aio.Channel, generations: Sequence[optimization_pb2.Generation]) -> Sequence[Any]:
    (generation,) = generations
    individual = optimization_pb2.Individual(genes=generation.best_individual, fitness_score=generation.best_fitness)
    request = optimization_pb2.RecordGenerationRequest(
        run_id=generation.run_id,
        generation=generation.generation,
        individuals=[individual] * generation.individual_count,
        best_fitness=generation.best_fitness,
        average_fitness=generation.average_fitness,
        population_diversity=generation.population_diversity,
        best_individual=generation.best_individual,
    )
    return [await OptimizationServiceStub(channel).RecordGeneration(request, timeout=CALL_SECONDS)]


_SENDS: Final[dict[type[Any], Callable[[aio.Channel, Sequence[Any]], Coroutine[Any, Any, Sequence[Any]]]]] = {
    signals_pb2.Signal: _publish,
    anomalies_pb2.Anomaly: _report,
    optimization_pb2.Generation: _record,
}
