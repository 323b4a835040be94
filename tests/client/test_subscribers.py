"""The subscribers of all other streams: as that of signals, on what their streams bring."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from ai_grpc.client import AnomalySubscriber, GenerationSubscriber, ModelPerformanceSubscriber
from ai_grpc.v1 import anomalies_pb2, optimization_pb2, performance_pb2
from ai_grpc.v1.optimization_pb2_grpc import OptimizationServiceStub
from tests.anomalies import REPORTED, RESOLVED, an_anomaly, report, resolve, sequences
from tests.client.conftest import AN_HOUR_LATER, Exchange, another, take
from tests.optimization import a_generation, a_running_run
from tests.performance import performance
from tests.server import serving
from tests.signals import an_active_model, execute


async def test_anomalies_come_once_and_in_order_whatever_becomes_of_the_server(database: str, tmp_path: Path) -> None:
    async with serving(database, tmp_path / "1.log") as first, serving(database, tmp_path / "2.log") as second:
        targets = [first.target, second.target]
        async with grpc.aio.insecure_channel(second.target) as channel:
            model_id = await an_active_model(channel)
            async with AnomalySubscriber(targets, start="earliest", max_batch_size=7) as subscriber:
                await report(channel, *(an_anomaly(model_id) for _ in range(20)))
                received = sequences(await take(subscriber, 10))
                await first.kill()
                await report(channel, *(an_anomaly(model_id) for _ in range(20)))
                received += sequences(await take(subscriber, 25))
                kept = subscriber.position
        await second.terminate()
        await second.start()
        async with AnomalySubscriber(second.target, position=kept) as resumed:
            # The one in hand was not done with.
            assert sequences(await take(resumed, 6)) == list(range(35, 41))
    assert received == list(range(1, 36))


async def test_current_is_what_is_open_and_then_what_happens(exchange: Exchange) -> None:
    given = [an_anomaly(exchange.model_id, severity_score=score) for score in (5, 6, 1, 7)]
    await report(exchange.channel, *given)
    await resolve(exchange.channel, given[1].anomaly_id)
    async with AnomalySubscriber(exchange.target, start="earliest") as all_so_far:
        # The server knows of an event a moment after its row is there.
        await take(all_so_far, 5)
    wanted = anomalies_pb2.AnomalyFilter(min_severity=2)
    async with AnomalySubscriber(exchange.target, start="current", filter=wanted) as subscriber:
        assert sequences(await take(subscriber, 2)) == [1, 4]
        await resolve(exchange.channel, given[0].anomaly_id)
        *_, event = await take(subscriber, 1)
        assert (event.kind, event.anomaly.anomaly_id) == (RESOLVED, given[0].anomaly_id)


async def test_old_reports_are_skipped_and_counted_but_resolutions_are_not(exchange: Exchange, database: str) -> None:
    given = [an_anomaly(exchange.model_id) for _ in range(3)]
    await report(exchange.channel, *given)
    await resolve(exchange.channel, given[0].anomaly_id)
    await execute(database, AN_HOUR_LATER.format("event_log"))
    await report(exchange.channel, an_anomaly(exchange.model_id))
    age = timedelta(minutes=30)
    # The first server has what it wrote in memory, and reads no more of it.
    async with another(database) as target, AnomalySubscriber(target, start="earliest", max_age=age) as subscriber:
        received = await take(subscriber, 2)
        assert [(event.sequence, event.kind) for event in received] == [(4, RESOLVED), (5, REPORTED)]
        assert subscriber.skipped == 3


async def test_generations_of_a_run_come_as_they_are_recorded(exchange: Exchange) -> None:
    stub = OptimizationServiceStub(exchange.channel)
    runs = [await a_running_run(exchange.channel, model_id=exchange.model_id) for _ in range(2)]
    wanted = optimization_pb2.GenerationFilter(run_ids=runs[1:])
    async with GenerationSubscriber(exchange.target, filter=wanted) as subscriber:
        await subscriber.receive()
        for number in range(3):
            for run_id in runs:
                await stub.RecordGeneration(a_generation(run_id, number, 0.5))
        received = await take(subscriber, 3)
    assert [(event.generation.run_id, event.generation.generation) for event in received] == [
        (runs[1], number) for number in range(3)
    ]


async def test_figures_of_a_model_come_as_they_are_computed(exchange: Exchange) -> None:
    other = await an_active_model(exchange.channel)
    wanted = performance_pb2.ModelPerformanceFilter(model_ids=[exchange.model_id])
    async with ModelPerformanceSubscriber(exchange.target, filter=wanted) as subscriber:
        await subscriber.receive()
        await performance(exchange.channel, other)
        computed = [await performance(exchange.channel, exchange.model_id) for _ in range(2)]
        assert [event.performance for event in await take(subscriber, 2)] == computed


@pytest.mark.parametrize(
    ("subscriber", "start", "choices"),
    [
        (AnomalySubscriber, datetime(2026, 1, 1, tzinfo=UTC), "latest, earliest, current"),
        (GenerationSubscriber, "current", "latest, earliest"),
        (ModelPerformanceSubscriber, "after", "latest, earliest"),
    ],
)
def test_a_start_that_a_stream_does_not_have_is_refused(subscriber: type[Any], start: Any, choices: str) -> None:
    with pytest.raises(ValueError, match=f"^start must be one of {choices}$"):
        subscriber("localhost:50051", start=start)
