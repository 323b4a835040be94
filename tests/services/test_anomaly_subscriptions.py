"""Watching anomalies: where a stream begins, what it brings, and that it resumes as the stream of signals does."""

from __future__ import annotations

import asyncio
import math
import uuid
from typing import Any, Final

import grpc
import pytest

from ai_grpc.app import running
from ai_grpc.v1 import anomalies_pb2 as pb
from ai_grpc.v1 import streams_pb2
from ai_grpc.v1.anomalies_pb2_grpc import AnomalyServiceStub
from tests.anomalies import (
    CURRENT,
    INSERT,
    REPORTED,
    RESOLVED,
    an_anomaly,
    anomaly,
    events,
    events_in,
    ids,
    report,
    resolve,
    sequences,
    session,
    until,
    watch,
)
from tests.signals import an_active_model, an_exchange, chosen, details, execute, refusal
from tests.streams import EARLIEST, started, subscribe

UNKNOWN: Final = str(uuid.uuid4())

# A client that buffers next to nothing, so that the server feels it when a reader pauses.
NARROW: Final = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 16_384)]

FAULTS: Final[list[tuple[dict[str, Any], list[str]]]] = [
    ({"earliest": None}, ["start"]),
    ({"earliest": EARLIEST, "max_batch_size": -1}, ["max_batch_size"]),
    (
        {"current": CURRENT, "filter": pb.AnomalyFilter(model_ids=["trend"], symbols=[""], min_severity=-1)},
        ["filter.model_ids[0]", "filter.symbols[0]", "filter.min_severity"],
    ),
    ({"current": CURRENT, "filter": pb.AnomalyFilter(min_severity=math.nan)}, ["filter.min_severity"]),
    ({"current": CURRENT, "filter": pb.AnomalyFilter(symbols=["x"] * 1001)}, ["filter.symbols"]),
    (
        {"current": CURRENT, "filter": pb.AnomalyFilter(kinds=[REPORTED, pb.AnomalyEvent.KIND_UNSPECIFIED])},
        ["filter.kinds[1]"],
    ),
]


async def test_reports_and_resolutions_arrive_in_order_live_and_replayed(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database) as other:
        model, live = await an_active_model(one), watch(other)
        await started(live)
        given = [an_anomaly(model, severity_score=score) for score in (4, 5.5)]
        await report(one, *given)
        stored = await anomaly(other, given[0].anomaly_id)
        resolved = await resolve(other, given[0].anomaly_id, "Over.")
        received = await events(live, 3)
        assert [(event.kind, event.sequence) for event in received] == [(REPORTED, 1), (REPORTED, 2), (RESOLVED, 3)]
        assert (received[0].anomaly, received[2].anomaly) == (stored, resolved)
        # A server that has just begun remembers nothing.
        async with an_exchange(database) as fresh:
            for channel in (one, fresh):
                assert await events(watch(channel, earliest=EARLIEST), 3) == received


async def test_a_stream_goes_on_exactly_after_any_position_on_any_replica(database: str) -> None:
    async with an_exchange(database) as one:
        model = await an_active_model(one)
        for count in (1, 2, 3):
            await report(one, *(an_anomaly(model) for _ in range(count)))
        await events(watch(one, earliest=EARLIEST), 6)
        async with an_exchange(database) as fresh:
            for channel in (one, fresh):
                origin: streams_pb2.Position = (await started(watch(channel, earliest=EARLIEST))).position
                for sequence in range(7):
                    after = streams_pb2.Position(epoch=origin.epoch, sequence=sequence)
                    *batches, last = await until(watch(channel, after=after), "caught_up")
                    assert sequences(events_in(batches)) == list(range(sequence + 1, 7))
                    assert last.position == streams_pb2.Position(epoch=origin.epoch, sequence=6)


async def test_what_one_replica_commits_the_others_hear_of_at_once(database: str) -> None:
    async with an_exchange(database, poll_interval=60) as one, an_exchange(database, poll_interval=60) as other:
        given, streams = an_anomaly(await an_active_model(one)), [watch(one), watch(other)]
        await asyncio.gather(*(until(stream, "caught_up") for stream in streams))
        async with asyncio.timeout(20):
            for writing in (report(one, given), resolve(other, given.anomaly_id)):
                await writing
                for stream in streams:
                    assert ids(await events(stream, 1)) == [given.anomaly_id]


async def test_replicas_that_write_at_the_same_time_hear_of_each_other_at_once(database: str) -> None:
    async with an_exchange(database, poll_interval=60) as one, an_exchange(database, poll_interval=60) as other:
        model, streams = await an_active_model(one), [watch(one), watch(other)]
        await asyncio.gather(*(until(stream, "caught_up") for stream in streams))
        for count in range(1, 30):
            await asyncio.gather(*(report(channel, an_anomaly(model)) for channel in (one, other)))
            async with asyncio.timeout(20):
                for stream in streams:
                    assert sequences(await events(stream, 2)) == [2 * count - 1, 2 * count]


async def test_a_position_in_the_log_of_signals_is_refused(database: str) -> None:
    async with an_exchange(database) as channel:
        position = (await started(subscribe(channel))).position
        error = await refusal(anext(aiter(watch(channel, after=position))))
        assert (error.code(), details(error).reason) == (grpc.StatusCode.FAILED_PRECONDITION, "EPOCH_MISMATCH")


async def test_slow_subscriber_misses_nothing_and_keeps_nobody_waiting(database: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("ai_grpc.app.TOPIC_EVENTS", 50)
    async with (
        asyncio.timeout(30),
        running(chosen(), database) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=NARROW) as narrow,
    ):
        model = await an_active_model(channel)
        slow, fast = watch(narrow), watch(channel)
        await asyncio.gather(until(slow, "caught_up"), until(fast, "caught_up"))
        for _ in range(30):
            await report(channel, *(an_anomaly(model, anomaly_details={"text": "x" * 2000}) for _ in range(20)))
            await events(fast, 20)
        received = [*await until(slow, "fell_behind"), *await until(slow, "caught_up")]
        assert sequences(events_in(received)) == list(range(1, 601))


async def test_current_brings_the_open_ones_first_however_much_of_the_log_is_gone(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        given = [an_anomaly(model, severity_score=n, anomaly_details={"n": n}) for n in range(1200)]
        await report(channel, *given[:1000])
        await report(channel, *given[1000:])
        for each in given[::100]:
            await resolve(channel, each.anomaly_id)
        whole = await events(watch(channel, earliest=EARLIEST), 1212)
        opened = [event for event in whole[:1200] if event.sequence % 100 != 1]
        assert await events(watch(channel, current=CURRENT), 1188) == opened
        await execute(database, "SELECT trim_event_log(clock_timestamp())")
    async with an_exchange(database) as channel:
        stream = watch(channel, current=CURRENT)
        *batches, last = await until(stream, "caught_up")
        received = events_in(batches)
        assert [(event.sequence, event.kind, event.anomaly) for event in received] == [
            (event.sequence, REPORTED, event.anomaly) for event in opened
        ]
        assert (last.position.sequence, batches[0].started.floor) == (1212, 1212)
        await resolve(channel, given[1].anomaly_id)
        [event] = await events(stream, 1)
        assert (event.sequence, event.kind, ids([event])) == (1213, RESOLVED, [given[1].anomaly_id])


async def test_current_loses_nothing_while_anomalies_come_and_go(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database) as other:
        model = await an_active_model(one)
        given = [an_anomaly(model) for _ in range(300)]
        await report(one, *given[:100])

        async def come(channel: grpc.aio.Channel, anomalies: list[pb.Anomaly]) -> None:
            for each in anomalies:
                await report(channel, each)

        async def go(channel: grpc.aio.Channel, anomalies: list[pb.Anomaly]) -> None:
            for each in anomalies:
                await resolve(channel, each.anomaly_id)

        async def by_hand() -> None:
            psql = await session(database)
            for _ in range(20):
                async with psql.transaction():
                    await psql.execute(INSERT, model, "MSFT")
                    await asyncio.sleep(0.005)
            await psql.close()

        changes = asyncio.gather(come(one, given[100:200]), come(other, given[200:]), go(one, given[:50]), by_hand())
        subscriptions = []
        for n in range(12):
            subscriptions.append(watch((one, other)[n % 2], current=CURRENT, max_batch_size=1 + 7 * n))
            await started(subscriptions[-1])
            await asyncio.sleep(0.01)
        await changes
        [(head,)] = await execute(database, "SELECT max(sequence) FROM event_log")
        rows = await execute(database, "SELECT anomaly_id::text FROM anomaly_detections WHERE NOT resolved")
        for stream in subscriptions:
            watched: set[str] = set()
            last = 0
            while last < head:
                for event in (await anext(aiter(stream))).batch.events:
                    assert event.sequence > last
                    last = event.sequence
                    (watched.add if event.kind == REPORTED else watched.discard)(event.anomaly.anomaly_id)
            assert watched == {row[0] for row in rows}


async def test_a_filter_selects_alike_live_replayed_and_current(database: str) -> None:
    async with an_exchange(database) as channel:
        one, two = [await an_active_model(channel) for _ in range(2)]
        filters = {
            (1, 2, 3, 4): pb.AnomalyFilter(),
            (1, 2, 4): pb.AnomalyFilter(symbols=["AAPL", "NONE"]),
            (2, 4): pb.AnomalyFilter(model_ids=[two.upper(), UNKNOWN]),
            (1, 2, 3): pb.AnomalyFilter(min_severity=4.5),
            (2,): pb.AnomalyFilter(symbols=["AAPL"], model_ids=[two], min_severity=4.5, kinds=[RESOLVED, REPORTED]),
            (): pb.AnomalyFilter(symbols=["NONE"]),
        }
        live = [watch(channel, filter=selection) for selection in filters.values()]
        await asyncio.gather(*(started(stream) for stream in live))
        await report(
            channel,
            an_anomaly(one, severity_score=4.5),
            an_anomaly(two, severity_score=1e300),
            an_anomaly(one, symbol="MSFT", severity_score=5),
            an_anomaly(two, severity_score=4.4999),
        )
        # A server that has just begun remembers nothing.
        async with an_exchange(database) as fresh:
            for stream, (expected, selection) in zip(live, filters.items(), strict=True):
                assert sequences(await events(stream, len(expected))) == list(expected)
                for start in ({"earliest": EARLIEST}, {"current": CURRENT}):
                    *batches, _ = await until(watch(fresh, filter=selection, **start), "caught_up")
                    assert sequences(events_in(batches)) == list(expected)


async def test_a_filter_selects_what_happened(database: str) -> None:
    async with an_exchange(database) as channel:
        given = an_anomaly(await an_active_model(channel))
        selection = pb.AnomalyFilter(kinds=[RESOLVED])
        live, everything = watch(channel, filter=selection), watch(channel)
        await asyncio.gather(started(live), started(everything))
        await report(channel, given)
        assert ids(await events(everything, 1)) == [given.anomaly_id]
        # None of what is open has been resolved.
        assert events_in(await until(watch(channel, current=CURRENT, filter=selection), "caught_up")) == []
        await resolve(channel, given.anomaly_id)
        replayed = await events(watch(channel, earliest=EARLIEST, filter=selection), 1)
        assert await events(live, 1) == replayed
        assert sequences(replayed) == [2]


async def test_a_position_below_the_floor_is_refused(database: str) -> None:
    async with an_exchange(database) as channel:
        model, position = await an_active_model(channel), (await started(watch(channel))).position
        await report(channel, *(an_anomaly(model) for _ in range(5)))
        await execute(database, "SELECT trim_event_log(clock_timestamp())")
    async with an_exchange(database) as channel:
        error = await refusal(anext(aiter(watch(channel, after=position))))
        assert error.code() == grpc.StatusCode.OUT_OF_RANGE
        assert details(error)[:2] == ("POSITION_EXPIRED", {"floor": "5"})
        stream = watch(channel, earliest=EARLIEST)
        await started(stream)
        await report(channel, an_anomaly(model))
        assert sequences(await events(stream, 1)) == [6]


async def test_a_request_that_makes_no_sense_names_its_fields(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        for fields, faulty in FAULTS:
            with subtests.test(str(faulty)):
                stream: Any = AnomalyServiceStub(channel).SubscribeAnomalies(pb.SubscribeAnomaliesRequest(**fields))
                error = await refusal(anext(aiter(stream)))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, faulty)


async def test_every_subscription_counts_towards_one_limit(database: str) -> None:
    async with an_exchange(database, max_subscriptions=1) as channel:
        signals = subscribe(channel)
        await started(signals)
        error = await refusal(anext(aiter(watch(channel))))
        assert details(error)[:2] == ("TOO_MANY_SUBSCRIPTIONS", {"limit": "1"})
