"""Following the log: live, behind, and back again; on one replica or several."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import pairwise
from typing import Final

import asyncpg
import grpc
from google.protobuf.duration_pb2 import Duration

from ai_grpc import db
from ai_grpc.app import running
from ai_grpc.exchange.feed import Feed
from ai_grpc.exchange.log import SIGNALS, LogReader
from ai_grpc.exchange.steps import CaughtUp, Closing
from ai_grpc.settings import Settings
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.signals import a_signal, an_active_model, an_exchange, chosen, details, ending, execute, publish, refusal
from tests.streams import EARLIEST, events, events_in, sequences, started, subscribe, until

# A client that buffers next to nothing, so that the server feels it when a reader pauses.
NARROW: Final = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 16_384)]


async def test_heartbeats_come_at_their_interval_and_move_on_past_what_does_not_match(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        selection = pb.SignalFilter(symbols=["NONE"])
        stream = subscribe(channel, filter=selection, heartbeat_interval=Duration(nanos=1))
        await until(stream, "caught_up")
        beats = [await anext(aiter(stream))]
        for sequence in (1, 2, 3):
            await publish(channel, a_signal(model))
            while beats[-1].position.sequence < sequence:
                beats.append(await anext(aiter(stream)))
    assert {beat.WhichOneof("event") for beat in beats} == {"heartbeat"}
    times = [beat.server_time.ToNanoseconds() for beat in beats]
    assert all(0.09e9 < later - earlier < 4e9 for earlier, later in pairwise(times))


async def test_no_message_carries_more_than_was_asked_for_and_each_has_its_position(database: str) -> None:
    async with an_exchange(database) as full:
        model = await an_active_model(full)
        await publish(full, *(a_signal(model) for _ in range(25)))
        # A server that has just begun has nothing in its ring.
        async with an_exchange(database) as fresh:
            for channel in (full, fresh):
                messages = await until(subscribe(channel, earliest=EARLIEST, max_batch_size=10), "caught_up")
                batches = [message.batch.events for message in messages[1:-1]]
                assert [(len(batch), batch[-1].sequence) for batch in batches] == [(10, 10), (10, 20), (5, 25)]
                assert [message.position.sequence for message in messages] == [0, 10, 20, 25, 25]
                assert all(message.server_time.seconds for message in messages)


async def test_no_message_outgrows_what_a_client_receives(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        live = subscribe(channel, max_batch_size=1000)
        await until(live, "caught_up")
        for _ in range(2):
            await publish(channel, *(a_signal(model, metadata={"text": "x" * 16_000}) for _ in range(200)))
        replayed = subscribe(channel, earliest=EARLIEST, max_batch_size=1000)
        for stream in (live, replayed):
            assert sequences(await events(stream, 400)) == list(range(1, 401))
        page = await SignalServiceStub(channel).ListSignals(pb.ListSignalsRequest(page_size=1000))
        assert 0 < len(page.signals) < 400
        assert page.next_page_token


async def test_a_stream_catches_up_once(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        await publish(channel, a_signal(model))
        stream = subscribe(channel, earliest=EARLIEST, heartbeat_interval=Duration(nanos=1))
        messages = await until(stream, "caught_up")
        for _ in range(3):
            await publish(channel, a_signal(model))
            messages += await until(stream, "heartbeat")
        kinds = [message.WhichOneof("event") for message in messages]
        assert (kinds[0], kinds.count("caught_up"), kinds.count("fell_behind")) == ("started", 1, 0)


async def test_a_stream_that_left_the_ring_says_so_and_comes_back(database: str) -> None:
    async with an_exchange(database, ring_events=50) as channel:
        model = await an_active_model(channel)
        stream = subscribe(channel)
        await until(stream, "caught_up")
        await publish(channel, *(a_signal(model) for _ in range(600)))
        [fell, *batches, caught] = await until(stream, "caught_up")
        assert (fell.fell_behind.head, fell.position.sequence) == (600, 0)
        assert sequences(events_in(batches)) == list(range(1, 601))
        assert caught.position.sequence == 600


async def test_slow_subscriber_misses_nothing_and_keeps_nobody_waiting(database: str) -> None:
    async with (
        asyncio.timeout(30),
        running(chosen(ring_events=50), database) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=NARROW) as narrow,
    ):
        model = await an_active_model(channel)
        slow, fast = subscribe(narrow), subscribe(channel)
        await asyncio.gather(until(slow, "caught_up"), until(fast, "caught_up"))
        for _ in range(30):
            await publish(channel, *(a_signal(model, metadata={"text": "x" * 2000}) for _ in range(20)))
            await events(fast, 20)
        received = [*await until(slow, "fell_behind"), *await until(slow, "caught_up")]
        assert sequences(events_in(received)) == list(range(1, 601))


async def test_what_one_replica_commits_the_others_hear_of_at_once(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database, poll_interval=60) as other:
        model, stream = await an_active_model(one), subscribe(other)
        await until(stream, "caught_up")
        signal = a_signal(model)
        await publish(one, signal)
        await SignalServiceStub(one).UpdateSignalState(ending(signal))
        async with asyncio.timeout(5):
            assert sequences(await events(stream, 2)) == [1, 2]


async def test_a_commit_that_nobody_tells_of_is_found_by_polling(database: str) -> None:
    async with an_exchange(database, poll_interval=0.1) as channel:
        signal, stream = a_signal(await an_active_model(channel)), subscribe(channel)
        await started(stream)
        await publish(channel, signal)
        await execute(database, "SELECT end_signal($1, 'EXECUTED', NULL)", signal.signal_id)
        async with asyncio.timeout(5):
            assert sequences(await events(stream, 2)) == [1, 2]


async def test_a_reader_whom_retention_overtakes_is_told(database: str) -> None:
    async with an_exchange(database, ring_events=1, poll_interval=60) as channel:
        model = await an_active_model(channel)
        await publish(channel, *(a_signal(model) for _ in range(5)))
        # The replica has not heard of it yet.
        await execute(database, "SELECT trim_signal_log(3)")
        error = await refusal(until(subscribe(channel, earliest=EARLIEST), "caught_up"))
        assert error.code() == grpc.StatusCode.OUT_OF_RANGE
        assert details(error)[:2] == ("POSITION_EXPIRED", {"floor": "3"})


async def test_who_follows_a_log_that_was_restored_is_told(database: str) -> None:
    async with an_exchange(database, poll_interval=0.05) as channel:
        stream = subscribe(channel)
        await until(stream, "caught_up")
        [(epoch,)] = await execute(database, "UPDATE log_meta SET epoch = gen_random_uuid() RETURNING epoch::text")
        error = await refusal(until(stream, "batch"))
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert details(error)[:2] == ("EPOCH_MISMATCH", {"epoch": epoch})
        assert (await until(subscribe(channel), "started"))[0].position.epoch == epoch


async def test_who_is_just_being_sent_a_message_hears_of_the_end_at_once(database: str) -> None:
    async with await db.create_pool(database, Settings(), "replay", 1) as pool:
        feed = Feed(LogReader(SIGNALS, pool), ring_events=8, ring_bytes=2**20, lifetime=60)
        feed.begin("epoch", 0, 0)
        async with aclosing(feed.follow(0, SIGNALS.everything, current=False, batch_size=10, heartbeat=60)) as steps:
            assert await anext(steps) == CaughtUp(0)
            feed.close()
            async with asyncio.timeout(5):
                assert await anext(steps) == Closing(0, lifetime=False)


async def test_a_replica_that_is_alone_tells_nobody_until_another_comes(database: str) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await asyncpg.connect(database)
    await listener.add_listener("ai_trading_signals", lambda *notification: heard.put_nowait(notification[3]))
    async with an_exchange(database, poll_interval=0.01) as one, asyncio.timeout(20):
        model = await an_active_model(one)
        assert await heard.get() == "0"
        # Some of its polls later it must have seen that it is alone.
        await asyncio.sleep(0.5)
        await publish(one, a_signal(model))
        async with an_exchange(database, poll_interval=60) as other:
            assert await heard.get() == "0"
            telling = asyncio.create_task(heard.get())
            while not telling.done():
                await publish(one, a_signal(model))
                await asyncio.wait([telling], timeout=0.1)
            head, known = int(telling.result()), subscribe(other, earliest=EARLIEST)
            received: list[pb.SignalEvent] = []
            while len(received) < head:
                received += events_in(await until(known, "batch"))
            assert sequences(received)[:head] == list(range(1, head + 1))
    await listener.close()


async def test_who_asks_later_for_the_same_events_is_told_the_time_of_his_own_message(database: str) -> None:
    async with an_exchange(database) as channel:
        await publish(channel, a_signal(await an_active_model(channel)))
        position = (await started(subscribe(channel))).position
        position.sequence = 0
        first = (await until(subscribe(channel, after=position), "batch"))[-1]
        later = await started(stream := subscribe(channel, after=position))
        again = (await until(stream, "batch"))[-1]
    assert again.batch == first.batch
    assert again.server_time.ToNanoseconds() >= later.server_time.ToNanoseconds() > first.server_time.ToNanoseconds()
