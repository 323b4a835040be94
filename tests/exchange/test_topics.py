"""The log of everything but signals, from one replica to the other. Its topic here is that of generations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import asyncpg
import grpc
import pytest

from ai_grpc.app import running
from ai_grpc.v1 import optimization_pb2 as pb
from ai_grpc.v1 import streams_pb2
from ai_grpc.v1.optimization_pb2_grpc import OptimizationServiceStub
from tests.anomalies import an_anomaly, report, watch
from tests.optimization import a_generation, a_running_run, events, subscribe, until
from tests.performance import performance
from tests.server import serving
from tests.services import test_performance_events as performances
from tests.signals import an_active_model, an_exchange, chosen, details, execute, reason, refusal

EARLIEST: Final = streams_pb2.Earliest()
# By hand, as anybody may write who has the rights.
INSERT: Final = """
INSERT INTO optimization_generations (run_id, generation, best_fitness, individual_count, content_hash)
SELECT $1, number, 1, 0, '' FROM generate_series($2::int, $3::int) AS number
"""


async def record(channel: grpc.aio.Channel, run_id: str, numbers: Iterable[int]) -> None:
    """Records generations one after the other."""
    for number in numbers:
        await OptimizationServiceStub(channel).RecordGeneration(a_generation(run_id, number, float(number)))


async def record_somewhere(channels: Sequence[grpc.aio.Channel], run_id: str, numbers: Iterable[int]) -> None:
    """As `record`, each on the first of the channels that answers; a repetition is harmless."""
    for number in numbers:
        for channel in channels:
            with suppress(grpc.aio.AioRpcError):
                await record(channel, run_id, [number])
                break


def recorded(received: Iterable[pb.GenerationEvent]) -> list[tuple[str, int]]:
    """Which generations the events are about."""
    return [(event.generation.run_id, event.generation.generation) for event in received]


def sequences(received: Iterable[pb.GenerationEvent]) -> list[int]:
    """Where in the log the events are."""
    return [event.sequence for event in received]


async def test_a_stream_that_wanders_between_replicas_loses_and_doubles_nothing(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ai_grpc.exchange.feed.AHEAD_WAIT", 20)
    async with an_exchange(database) as one, an_exchange(database) as other:
        runs = [await a_running_run(channel) for channel in (one, other, one, other)]
        writers = [
            asyncio.create_task(record(channel, run_id, range(25)))
            for run_id, channel in zip(runs, (one, other, other, one), strict=True)
        ]
        received: list[pb.GenerationEvent] = []
        start: dict[str, Any] = {"earliest": EARLIEST}
        while len(received) < 100:
            # Cut off with every message that brings something.
            async with asyncio.timeout(30):
                stream = subscribe((one, other)[len(received) % 2], **start, max_batch_size=3)
                message = (await until(stream, "batch"))[-1]
                stream.cancel()
            received += message.batch.events
            start = {"after": message.position}
        await asyncio.gather(*writers)
        assert sequences(received) == list(range(1, 101))
        assert sorted(recorded(received)) == sorted((run_id, number) for run_id in runs for number in range(25))
        for run_id in runs:
            assert [number for of, number in recorded(received) if of == run_id] == list(range(25))
        times = [event.commit_time.ToNanoseconds() for event in received]
        assert times == sorted(times)


async def test_a_replica_that_is_killed_takes_nothing_with_it(database: str, tmp_path: Path) -> None:
    async with (
        asyncio.timeout(60),
        serving(database, tmp_path / "0.log") as first,
        serving(database, tmp_path / "1.log") as second,
        grpc.aio.insecure_channel(first.target) as doomed,
        grpc.aio.insecure_channel(second.target) as other,
    ):
        run_id = await a_running_run(doomed)
        written = asyncio.create_task(record_somewhere([doomed, other], run_id, range(60)))
        received: list[pb.GenerationEvent] = []
        stream, start = subscribe(doomed, earliest=EARLIEST), streams_pb2.Position()
        while len(received) < 60:
            try:
                message = await anext(aiter(stream))
            except grpc.aio.AioRpcError:
                stream = subscribe(other, after=start)
                continue
            received += message.batch.events
            start = message.position
            if len(received) >= 20 and first.process is not None and first.process.returncode is None:
                await first.kill()
        await written
        assert sequences(received) == list(range(1, 61))
        assert recorded(received) == [(run_id, number) for number in range(60)]


async def test_replicas_wake_each_other(database: str) -> None:
    # Who waited for the next poll would be too late.
    async with an_exchange(database, poll_interval=60) as one, an_exchange(database, poll_interval=60) as other:
        run_id, stream = await a_running_run(one), subscribe(other)
        await until(stream, "caught_up")
        async with asyncio.timeout(10):
            for number in range(5):
                await record(one, run_id, [number])
                assert recorded(await events(stream, 1)) == [(run_id, number)]


async def test_a_live_event_equals_the_replayed_one_and_what_was_answered(database: str) -> None:
    async with an_exchange(database) as channel:
        run_id, live = await a_running_run(channel), subscribe(channel)
        await until(live, "caught_up")
        stub = OptimizationServiceStub(channel)
        contents: list[dict[str, Any]] = [
            {"best_fitness": -1e300, "population_diversity": 0.1, "average_fitness": 5e-324},
            {"best_fitness": 0.1, "best_individual": {"a": [1, None, {"b": "é\n"}], "c": 1.5e-7, "d": {}}},
        ]
        requests = [a_generation(run_id, number, **content) for number, content in enumerate(contents)]
        answers = [await stub.RecordGeneration(request) for request in requests]
        received = await events(live, 2)
        assert [event.generation for event in received] == [answer.generation for answer in answers]
        # A server that has just begun remembers nothing.
        async with an_exchange(database) as fresh:
            assert await events(subscribe(fresh, earliest=EARLIEST), 2) == received


async def test_a_filter_lets_by_the_same_live_and_replayed(database: str) -> None:
    async with an_exchange(database) as channel:
        runs = [await a_running_run(channel) for _ in range(3)]
        get = [pb.GetOptimizationRunRequest(run_id=run_id) for run_id in runs]
        models = [(await OptimizationServiceStub(channel).GetOptimizationRun(each)).run.model_id for each in get]
        cases: list[tuple[dict[str, Any], list[str]]] = [
            ({}, runs),
            ({"run_ids": [runs[0].upper()]}, [runs[0]]),
            ({"run_ids": runs[:2]}, runs[:2]),
            ({"model_ids": [models[2].upper(), models[0]]}, [runs[0], runs[2]]),
            ({"model_ids": models[:2], "run_ids": runs[1:]}, [runs[1]]),
        ]
        live = [subscribe(channel, filter=wanted) for wanted, _ in cases]
        for stream in live:
            await until(stream, "caught_up")
        for run_id in runs:
            await record(channel, run_id, [7])
        async with an_exchange(database) as fresh:
            for stream, (wanted, expected) in zip(live, cases, strict=True):
                replayed = await until(subscribe(fresh, earliest=EARLIEST, filter=wanted), "caught_up")
                past = [event for message in replayed for event in message.batch.events]
                assert recorded(past) == [(run_id, 7) for run_id in expected]
                # The rest is known to be of no interest.
                assert replayed[-1].position.sequence == 3
                assert await events(stream, len(expected)) == past


async def test_each_topic_is_heard_by_those_who_asked_for_it(database: str) -> None:
    async with an_exchange(database) as channel:
        subscribers: list[Callable[..., Any]] = [watch, subscribe, performances.subscribe]
        live = [each(channel, latest=streams_pb2.Latest()) for each in subscribers]
        for stream in live:
            await until(stream, "caught_up")
        run_id, model_id = await a_running_run(channel), await an_active_model(channel)
        await report(channel, an_anomaly(model_id))
        await record(channel, run_id, [0])
        await performance(channel, model_id)
        await report(channel, an_anomaly(model_id))
        async with an_exchange(database) as fresh:
            for own, each, expected in zip(live, subscribers, ([1, 4], [2], [3]), strict=True):
                replayed = await until(each(fresh, earliest=EARLIEST), "caught_up")
                assert sequences(event for message in replayed for event in message.batch.events) == expected
                # Passed over is what is not theirs, and nothing of it comes later.
                assert replayed[-1].position.sequence == 4
                assert sequences(await events(own, len(expected))) == expected


async def test_more_than_a_page_is_replayed_in_order(database: str) -> None:
    async with an_exchange(database) as channel:
        run_id, other = [await a_running_run(channel) for _ in range(2)]
        await execute(database, INSERT, run_id, 0, 1499)
        await execute(database, INSERT, other, 0, 0)
        await execute(database, INSERT, run_id, 1500, 2499)
        async with an_exchange(database) as fresh:
            received = await events(subscribe(fresh, earliest=EARLIEST, filter={"run_ids": [run_id]}), 2500)
        assert recorded(received) == [(run_id, number) for number in range(2500)]
        assert sequences(received) == [number for number in range(1, 2502) if number != 1501]


async def test_the_order_is_that_of_the_commits_and_an_open_transaction_holds_up_nobody(database: str) -> None:
    async with an_exchange(database) as channel:
        early, late = [await a_running_run(channel) for _ in range(2)]
        stream = subscribe(channel)
        await until(stream, "caught_up")
        connection = await asyncpg.connect(database, server_settings={"search_path": "ai_trading"}, timeout=10)
        try:
            async with connection.transaction():
                await connection.execute(INSERT, late, 0, 0)
                await record(channel, early, [0])
                assert recorded(await events(stream, 1)) == [(early, 0)]
            assert recorded(await events(stream, 1)) == [(late, 0)]
            given_up = connection.transaction()
            await given_up.start()
            await connection.execute(INSERT, late, 1, 1)
            await given_up.rollback()
        finally:
            await connection.close(timeout=10)
        await record(channel, early, [1])
        assert sequences(await events(stream, 1)) == [3]


async def test_a_position_that_cannot_be_followed_is_refused(database: str) -> None:
    async with an_exchange(database) as channel:
        await record(channel, await a_running_run(channel), range(3))
        position = (await until(subscribe(channel, earliest=EARLIEST), "caught_up"))[-1].position
        ahead = streams_pb2.Position(epoch=position.epoch, sequence=4)
        error = await refusal(until(subscribe(channel, after=ahead), "started"))
        assert (error.code(), details(error)[:2]) == (
            grpc.StatusCode.OUT_OF_RANGE,
            ("POSITION_AHEAD", {"head": "3"}),
        )
        foreign = streams_pb2.Position(epoch="another", sequence=1)
        error = await refusal(until(subscribe(channel, after=foreign), "started"))
        assert (error.code(), reason(error)) == (grpc.StatusCode.FAILED_PRECONDITION, "EPOCH_MISMATCH")
        trim = "SELECT trim_event_log((SELECT commit_time FROM event_log WHERE sequence = 2)) AS removed"
        assert [row["removed"] for row in await execute(database, trim)] == [2]
        assert [row["sequence"] for row in await execute(database, "SELECT sequence FROM event_log")] == [3]
        async with an_exchange(database) as fresh:
            expired = streams_pb2.Position(epoch=position.epoch, sequence=1)
            error = await refusal(until(subscribe(fresh, after=expired), "started"))
            assert (error.code(), details(error)[:2]) == (
                grpc.StatusCode.OUT_OF_RANGE,
                ("POSITION_EXPIRED", {"floor": "2"}),
            )
            assert sequences(await events(subscribe(fresh, earliest=EARLIEST), 1)) == [3]


async def test_the_field_at_fault_is_named(database: str, subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"latest": None}, ["start"]),
        ({"filter": {"run_ids": ["1"]}}, ["filter.run_ids[0]"]),
        ({"filter": {"run_ids": [""], "model_ids": ["x"]}}, ["filter.run_ids[0]", "filter.model_ids[0]"]),
        ({"filter": {"model_ids": [f"{0:032}"] * 1001}}, ["filter.model_ids"]),
        ({"max_batch_size": -1}, ["max_batch_size"]),
        ({"subscriber_id": "x" * 101}, ["subscriber_id"]),
    ]
    async with an_exchange(database) as channel:
        for changes, fields in cases:
            with subtests.test(str(fields)):
                request = pb.SubscribeGenerationsRequest(**{"latest": streams_pb2.Latest(), **changes})
                call = OptimizationServiceStub(channel).SubscribeGenerations(request)
                error = await refusal(until(call, "started"))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error).fields[: len(fields)] == fields


async def test_a_stopping_server_says_goodbye_with_the_position(database: str) -> None:
    async with asyncio.timeout(30), AsyncExitStack() as channels:
        async with running(chosen(), database) as port:
            channel = await channels.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
            run_id, stream = await a_running_run(channel), subscribe(channel)
            await until(stream, "caught_up")
            await record(channel, run_id, [0])
            assert sequences(await events(stream, 1)) == [1]
        messages = await until(stream, "closing")
        assert messages[-1].position.sequence == 1
        error = await refusal(until(stream, "started"))
        assert (error.code(), reason(error)) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
