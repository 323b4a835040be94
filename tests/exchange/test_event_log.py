"""The second log: whoever writes a row of a topic, its events are dense and in the order of the commits."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import grpc
import pytest

from ai_grpc.exchange.topics import event_of
from ai_grpc.v1.anomalies_pb2 import AnomalyEvent
from ai_grpc.v1.performance_pb2 import ModelPerformanceEvent
from ai_grpc.v1.periods_pb2 import Period
from tests.anomalies import (
    CURRENT,
    INSERT,
    REPORTED,
    RESOLVED,
    an_anomaly,
    anomaly,
    events,
    ids,
    report,
    resolve,
    sequences,
    session,
    watch,
)
from tests.locks import deadlock
from tests.signals import an_active_model, an_exchange, details, execute, refusal
from tests.streams import EARLIEST, started

RESOLVE: Final = "UPDATE ai_trading.anomaly_detections SET resolved = TRUE WHERE anomaly_id = $1"
LOCK: Final = "SELECT FROM ai_trading.anomaly_detections WHERE anomaly_id = $1 FOR UPDATE"
OPEN_AGAIN: Final = "UPDATE ai_trading.anomaly_detections SET resolved = FALSE WHERE anomaly_id = $1"
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)


async def test_events_are_dense_and_in_the_order_of_the_commits_whoever_writes(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database) as other, AsyncExitStack() as stack:
        model = await an_active_model(one)
        live = watch(other)
        await started(live)

        async def reporter(channel: Any) -> int:
            for size in range(1, 9):
                await report(channel, *(an_anomaly(model) for _ in range(size)))
            return 36

        async def somebody_with_psql(seed: int) -> int:
            connection = await session(database)
            stack.push_async_callback(connection.close)
            chance, count = random.Random(seed), 0
            for _ in range(6):
                transaction = connection.transaction()
                await transaction.start()
                written = [await connection.fetchval(INSERT, model, "MSFT") for _ in range(chance.randrange(1, 4))]
                await asyncio.sleep(chance.random() * 0.1)
                if chance.random() < 0.3:
                    await transaction.rollback()
                    continue
                await connection.execute(RESOLVE, written[0])
                await transaction.commit()
                count += len(written) + 1
            return count

        writers = [reporter(one), reporter(other), *(somebody_with_psql(seed) for seed in range(4))]
        total = sum(await asyncio.gather(*writers))
        received = await events(live, total)
        replayed = await events(watch(one, earliest=EARLIEST), total)
    assert sequences(received) == list(range(1, total + 1))
    assert replayed == received
    times = [event.commit_time.ToNanoseconds() for event in received]
    assert times == sorted(times)
    kept = await execute(database, "SELECT anomaly_id::text, sequence FROM anomaly_detections")
    assert {row[0]: row[1] for row in kept} == {
        event.anomaly.anomaly_id: event.sequence for event in received if event.kind == REPORTED
    }


async def test_a_transaction_that_began_first_and_commits_last_comes_last(database: str) -> None:
    async with an_exchange(database) as channel:
        model, live = await an_active_model(channel), watch(channel)
        await started(live)
        slow = await session(database)
        async with slow.transaction():
            first = await slow.fetchval(INSERT, model, "MSFT")
            given = an_anomaly(model)
            # Nobody waits for a transaction that has written and not committed.
            await report(channel, given)
            assert ids(await events(live, 1)) == [given.anomaly_id]
        assert ids(await events(live, 1)) == [first]
        await slow.close()


async def test_an_event_shows_the_row_as_it_was_and_a_rollback_shows_nothing(database: str) -> None:
    async with an_exchange(database) as channel:
        model, live = await an_active_model(channel), watch(channel)
        await started(live)
        psql = await session(database)
        async with psql.transaction():
            await psql.execute("SAVEPOINT before")
            await psql.fetchval(INSERT, model, "LOST")
            await psql.execute("ROLLBACK TO before")
            written = await psql.fetchval(INSERT, model, "MSFT")
            await psql.execute(RESOLVE, written)
            await psql.execute(OPEN_AGAIN, written)
        received = await events(live, 3)
        await psql.close()
        assert [(event.kind, event.anomaly.resolved) for event in received] == [
            (REPORTED, False),
            (RESOLVED, True),
            (REPORTED, False),
        ]
        assert ids(received) == [written] * 3
        assert received[2].anomaly == await anomaly(channel, written)
        # Who begins with what is open finds it where it was opened again.
        assert await events(watch(channel, current=CURRENT), 1) == received[2:]


async def test_times_never_go_back_though_the_clock_does(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        await report(channel, an_anomaly(model))
        ahead = "UPDATE event_log SET commit_time = commit_time + INTERVAL '1 hour' RETURNING commit_time"
        [(time,)] = await execute(database, ahead)
        await report(channel, an_anomaly(model))
        assert [row["commit_time"] for row in await execute(database, "SELECT commit_time FROM event_log")] == [
            time
        ] * 2


async def test_what_is_imported_as_resolved_is_reported_and_resolved(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        await execute(
            database,
            "INSERT INTO anomaly_detections"
            " (model_id, symbol, detection_timestamp, anomaly_type, severity_score, resolved)"
            " SELECT $1, 'OLD' || n, now(), 'price_jump', n, TRUE FROM generate_series(1, 2) AS n",
            model,
        )
        received = await events(watch(channel, earliest=EARLIEST), 4)
    assert [(event.anomaly.symbol, event.kind) for event in received] == [
        ("OLD1", REPORTED),
        ("OLD1", RESOLVED),
        ("OLD2", REPORTED),
        ("OLD2", RESOLVED),
    ]


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_a_transaction_with_an_old_snapshot_is_to_be_repeated_and_leaves_no_hole(
    database: str, isolation: Any
) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        psql = await session(database)
        await (late := psql.transaction(isolation=isolation)).start()
        await psql.fetchval(INSERT, model, "MSFT")
        await report(channel, an_anomaly(model))
        with pytest.raises(asyncpg.SerializationError):
            await late.commit()
        async with psql.transaction(isolation=isolation):
            again = await psql.fetchval(INSERT, model, "MSFT")
        await psql.close()
        received = await events(watch(channel, earliest=EARLIEST), 2)
        assert (sequences(received), ids(received)[1]) == ([1, 2], again)


async def test_what_a_session_is_set_to_does_not_show_in_an_event(database: str) -> None:
    settings = {
        "timezone": "Asia/Kathmandu",
        "extra_float_digits": "-10",
        "datestyle": "German",
        "intervalstyle": "iso_8601",
    }
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        psql = await session(database, **settings)
        # In a time whose offset has seconds in most zones.
        insert = INSERT.replace("5.5", "0.1 + 0.2::float8").replace("now()", "'1900-01-01T00:00Z'")
        written = await psql.fetchval(insert, model, "MSFT")
        await psql.close()
        [event] = await events(watch(channel, earliest=EARLIEST), 1)
        assert event.anomaly == await anomaly(channel, written)
        assert event.anomaly.severity_score == 0.1 + 0.2


async def test_who_may_write_a_row_only_is_heard_too(database: str, postgres: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        psql = await session(database)
        await psql.execute("CREATE ROLE trader; GRANT USAGE ON SCHEMA ai_trading TO trader")
        try:
            await psql.execute("GRANT INSERT, SELECT ON ai_trading.anomaly_detections TO trader; SET ROLE trader")
            written = await psql.fetchval(INSERT, model, "MSFT")
            assert ids(await events(watch(channel, earliest=EARLIEST), 1)) == [written]
        finally:
            await psql.execute("RESET ROLE; DROP OWNED BY trader; DROP ROLE trader")
            await psql.close()


async def test_a_row_that_is_no_message_does_not_stop_the_log(database: str) -> None:
    async with an_exchange(database) as channel:
        model, live = await an_active_model(channel), watch(channel)
        await started(live)
        huge = INSERT.replace("severity_score)", "severity_score, anomaly_details)").replace("5.5)", "5.5, $3)")
        psql = await session(database)
        strange = await psql.fetchval(huge, model, "MSFT", '{"volume": 1' + "0" * 400 + "}")
        for faulty in ("[1]", "[" * 30 + "]" * 30, '{"a": ' * 30 + "1" + "}" * 30):
            with pytest.raises(asyncpg.CheckViolationError):
                await psql.execute(huge, model, "MSFT", faulty)
        with pytest.raises(asyncpg.CheckViolationError):
            await psql.execute(INSERT.replace("now()", "'infinity'"), model, "MSFT")
        await psql.close()
        given = an_anomaly(model)
        await report(channel, given)
        received = await events(live, 2)
        assert ids(received) == [strange, given.anomaly_id]
        assert (received[0].anomaly.symbol, received[0].anomaly.HasField("anomaly_details")) == ("MSFT", False)


def test_what_a_newer_replica_logs_is_passed_over() -> None:
    assert event_of((7, "MOON", "ROSE", NOW, {"symbol": "AAPL"})).encoded == b""
    content = {"symbol": "AAPL", "anomaly_type": None, "phase": "full", "severity_score": 2}
    encoded = event_of((7, "ANOMALY", "FORGOTTEN", NOW, content)).encoded
    event = AnomalyEvent.FromString(encoded[2:])
    assert (event.sequence, event.kind, event.anomaly.symbol, event.anomaly.severity_score) == (7, 0, "AAPL", 2)
    period = {"start_date": "2026-01-01", "end_date": "2027-01-01"}
    encoded = event_of(
        (8, "PERFORMANCE", "RECORDED", NOW, {"evaluation_period": {**period, "calendar": "XNYS"}})
    ).encoded
    performance = ModelPerformanceEvent.FromString(encoded[2:]).performance
    assert performance.evaluation_period == Period(**period)


async def test_of_two_who_wait_for_each_other_one_is_told_to_repeat(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        anomalies = [an_anomaly(model) for _ in range(3)]
        await report(channel, *anomalies)
        async with deadlock(database, LOCK, [anomaly.anomaly_id for anomaly in anomalies]):
            error = await refusal(report(channel, *anomalies))
        assert (error.code(), details(error).reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        assert [result.duplicate for result in (await report(channel, *anomalies)).results] == [True] * 3


async def test_rows_of_one_request_are_events_in_its_order(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        given = [an_anomaly(model) for _ in range(200)]
        await report(channel, *given)
        await resolve(channel, given[7].anomaly_id, "Over.")
        await report(channel, *given)
        received = await events(watch(channel, earliest=EARLIEST), 201)
        assert ids(received) == [each.anomaly_id for each in (*given, given[7])]
