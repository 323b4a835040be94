"""SignalSubscriber: every event once, in order, whatever becomes of the connection."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from ai_grpc.client import SignalPublisher, SignalSubscriber
from ai_grpc.errors import FailedPrecondition, InvalidArgument, OutOfRange
from ai_grpc.v1 import errors_pb2, streams_pb2
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.client.conftest import AN_HOUR_LATER, Exchange, another, take
from tests.server import serving
from tests.signals import a_signal, an_active_model, ending, execute, publish
from tests.streams import sequences

SOON = timedelta(seconds=0.1)


async def test_events_come_once_and_in_order(exchange: Exchange) -> None:
    signals = exchange.signals(1200)
    await publish(exchange.channel, *signals[:1000])
    await publish(exchange.channel, *signals[1000:])
    async with SignalSubscriber(exchange.target, start="earliest") as subscriber:
        events = await take(subscriber, 1200)
        assert [event.signal.signal_id for event in events] == [each.signal_id for each in signals]
        assert sequences(events) == list(range(1, 1201))
        await asyncio.wait_for(_until_caught_up(subscriber), 10)


async def test_the_position_is_that_of_the_last_event_done_with(exchange: Exchange) -> None:
    await publish(exchange.channel, *exchange.signals(10))
    async with SignalSubscriber(exchange.target, start="earliest") as subscriber:
        assert subscriber.position is None
        for done in range(4):
            event = await anext(subscriber)
            assert event.sequence == done + 1
            assert subscriber.position is not None
            assert subscriber.position.sequence == done
        kept = subscriber.position
    async with SignalSubscriber(exchange.target, position=kept) as resumed:
        assert sequences(await take(resumed, 7)) == list(range(4, 11))


async def test_the_position_moves_while_nothing_matches(exchange: Exchange) -> None:
    wanted = pb.SignalFilter(symbols=["MSFT"])
    async with SignalSubscriber(exchange.target, filter=wanted, heartbeat_interval=SOON) as subscriber:
        await subscriber.receive()
        await publish(exchange.channel, *exchange.signals(5))
        async with asyncio.timeout(10):
            while subscriber.position is None or subscriber.position.sequence < 5:
                await subscriber.receive()


async def test_it_begins_where_it_is_told(exchange: Exchange) -> None:
    await publish(exchange.channel, *exchange.signals(3))
    await asyncio.sleep(0.01)
    moment = datetime.now(UTC)
    await asyncio.sleep(0.01)
    await publish(exchange.channel, *exchange.signals(2))
    async with SignalSubscriber(exchange.target, start=moment) as subscriber:
        assert sequences(await take(subscriber, 2)) == [4, 5]
    with pytest.raises(ValueError, match="time zone"):
        SignalSubscriber(exchange.target, start=datetime(2026, 1, 1))


async def test_current_is_what_is_active_and_then_what_happens(exchange: Exchange) -> None:
    signals = exchange.signals(5)
    await publish(exchange.channel, *signals)
    stub = SignalServiceStub(exchange.channel)
    await stub.UpdateSignalState(ending(signals[1]))
    async with SignalSubscriber(exchange.target, start="current") as subscriber:
        await subscriber.receive()
        assert subscriber.position is None
        assert sequences(await take(subscriber, 4)) == [1, 3, 4, 5]
        await asyncio.wait_for(_until_caught_up(subscriber), 10)
        assert subscriber.position is not None
        # The replica may hear of the end that was before only now.
        assert subscriber.position.sequence in (5, 6)
        before = subscriber.position.sequence
        await stub.UpdateSignalState(ending(signals[0], state=pb.SIGNAL_STATE_CANCELLED))
        *_, event = await take(subscriber, 7 - before)
        assert (event.sequence, event.kind) == (7, pb.SignalEvent.KIND_CANCELLED)


async def test_old_advice_is_skipped_and_counted_but_ends_are_not(exchange: Exchange, database: str) -> None:
    signals = exchange.signals(3)
    await publish(exchange.channel, *signals)
    await SignalServiceStub(exchange.channel).UpdateSignalState(ending(signals[0]))
    await execute(database, AN_HOUR_LATER.format("signal_log"))
    await publish(exchange.channel, exchange.signal())
    age = timedelta(minutes=30)
    # The first server has what it wrote in memory, and reads no more of it.
    async with another(database) as target, SignalSubscriber(target, start="earliest", max_age=age) as subscriber:
        assert sequences(await take(subscriber, 2)) == [4, 5]
        assert subscriber.skipped == 3
        assert subscriber.lag is not None
        assert timedelta(0) <= subscriber.lag < age


async def test_advice_that_grew_old_on_the_way_is_skipped_too(exchange: Exchange) -> None:
    async with SignalSubscriber(exchange.target, max_age=timedelta(seconds=3)) as subscriber:
        await subscriber.receive()
        await publish(exchange.channel, *exchange.signals(3))
        assert sequences(await take(subscriber, 1)) == [1]
        await asyncio.sleep(3.1)
        await publish(exchange.channel, exchange.signal())
        assert sequences(await take(subscriber, 1)) == [4]
        assert subscriber.skipped == 2


async def test_a_wait_may_be_given_up_and_begun_again(exchange: Exchange, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ai_grpc.access")
    received: list[int] = []
    async with SignalSubscriber(exchange.target, start="earliest") as subscriber, asyncio.TaskGroup() as group:
        group.create_task(_publish_slowly(exchange, 50))
        async with asyncio.timeout(30):
            while len(received) < 50:
                with suppress(TimeoutError):
                    async with asyncio.timeout(random.random() / 200):
                        received.append((await anext(subscriber)).sequence)
        # A line is written when a stream ends.
        assert "SubscribeSignals" not in caplog.text
    assert received == list(range(1, 51))


async def test_closing_ends_the_iteration_of_another_task(exchange: Exchange) -> None:
    subscriber = SignalSubscriber(exchange.target)
    waiting = asyncio.create_task(_all(subscriber))
    await _is_live(subscriber)
    await subscriber.close()
    assert await asyncio.wait_for(waiting, 10) == []
    assert await _all(subscriber) == []


async def test_what_repetition_cannot_cure_is_raised(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    await publish(exchange.channel, exchange.signal())
    with pytest.raises(InvalidArgument) as invalid:
        await _first(SignalSubscriber(exchange.target, filter=pb.SignalFilter(min_confidence=2)))
    assert [violation.field for violation in invalid.value.violations] == ["filter.min_confidence"]
    strange = streams_pb2.Position(epoch="6c0a6d1e-9f54-4a8e-8f38-0c7f5d2b1a9e", sequence=1)
    with pytest.raises(FailedPrecondition) as mismatch:
        await _first(SignalSubscriber(exchange.target, position=strange))
    assert mismatch.value.reason == errors_pb2.ERROR_REASON_EPOCH_MISMATCH
    monkeypatch.setattr("ai_grpc.client.messages.LONGEST_AHEAD", 0.5)
    ahead = streams_pb2.Position(epoch=mismatch.value.metadata["epoch"], sequence=99)
    with pytest.raises(OutOfRange) as out:
        await _first(SignalSubscriber(exchange.target, position=ahead))
    assert (out.value.reason, out.value.metadata) == (errors_pb2.ERROR_REASON_POSITION_AHEAD, {"head": "1"})


async def test_a_position_that_the_log_no_longer_has_is_an_error(database: str, tmp_path: Path) -> None:
    async with serving(database, tmp_path / "log") as server:
        async with grpc.aio.insecure_channel(server.target) as channel:
            model_id = await an_active_model(channel)
            await publish(channel, *(a_signal(model_id) for _ in range(10)))
        async with SignalSubscriber(server.target, start="earliest") as subscriber:
            await take(subscriber, 5)
            await execute(database, "SELECT trim_signal_log(7)")
            await server.kill()
            await server.start()
            assert sequences(await take(subscriber, 5)) == list(range(6, 11))
            old = streams_pb2.Position(epoch=subscriber.position.epoch if subscriber.position else "", sequence=3)
        with pytest.raises(OutOfRange) as expired:
            await _first(SignalSubscriber(server.target, position=old))
    assert expired.value.metadata == {"floor": "7"}


async def test_a_replica_that_lags_is_asked_again(exchange: Exchange) -> None:
    published = (await publish(exchange.channel, exchange.signal())).results[0].sequence
    async with SignalSubscriber(exchange.target, start="earliest") as first:
        await anext(first)
        assert first.position is not None
        ahead = streams_pb2.Position(epoch=first.position.epoch, sequence=published + 3)
    async with SignalSubscriber(exchange.target, position=ahead) as subscriber:
        waiting = asyncio.create_task(anext(subscriber))
        await asyncio.sleep(1.5)
        await publish(exchange.channel, *exchange.signals(4))
        assert (await asyncio.wait_for(waiting, 10)).sequence == published + 4


async def test_a_first_position_survives_the_server_that_gave_it(database: str, tmp_path: Path) -> None:
    async with (
        serving(database, tmp_path / "1.log") as first,
        serving(database, tmp_path / "2.log") as second,
        grpc.aio.insecure_channel(second.target) as channel,
        SignalSubscriber([first.target, second.target]) as subscriber,
    ):
        model_id = await an_active_model(channel)
        await subscriber.receive()
        await first.kill()
        await publish(channel, *(a_signal(model_id) for _ in range(3)))
        assert sequences(await take(subscriber, 3)) == [1, 2, 3]


async def test_a_server_that_stands_still_is_left_for_the_next_one(database: str, tmp_path: Path) -> None:
    async with (
        serving(database, tmp_path / "1.log") as first,
        serving(database, tmp_path / "2.log") as second,
        grpc.aio.insecure_channel(second.target) as channel,
        SignalSubscriber([first.target, second.target], start="earliest", heartbeat_interval=5 * SOON) as subscriber,
    ):
        model_id = await an_active_model(channel)
        await publish(channel, *(a_signal(model_id) for _ in range(3)))
        await take(subscriber, 2)
        os.kill(first.pid, signal.SIGSTOP)
        try:
            await publish(channel, *(a_signal(model_id) for _ in range(3)))
            async with asyncio.timeout(12):  # Sooner than a ping of the connection would find out.
                assert sequences(await take(subscriber, 4)) == [3, 4, 5, 6]
        finally:
            os.kill(first.pid, signal.SIGCONT)


async def test_killed_and_drained_servers_hide_and_repeat_nothing(database: str, tmp_path: Path) -> None:
    async with serving(database, tmp_path / "1.log") as first, serving(database, tmp_path / "2.log") as second:
        async with grpc.aio.insecure_channel(first.target) as channel:
            model_id = await an_active_model(channel)
        targets = [first.target, second.target]
        async with SignalPublisher(targets) as publisher, SignalSubscriber(targets, start="earliest") as subscriber:
            received: list[int] = []
            for server in (first, second, first, second):
                answers = [await publisher.submit(a_signal(model_id)) for _ in range(3000)]
                received += sequences(await take(subscriber, 1000))
                await (server.kill() if server is first else server.terminate())
                received += sequences(await take(subscriber, 1000))
                await server.start()
                received += sequences(await take(subscriber, 1000))
                await asyncio.gather(*answers)
    assert received == list(range(1, 12_001))


async def _is_live(subscriber: SignalSubscriber) -> None:
    await asyncio.wait_for(subscriber.caught_up.wait(), 10)


async def _all(subscriber: SignalSubscriber) -> list[pb.SignalEvent]:
    return [event async for event in subscriber]


async def _first(subscriber: SignalSubscriber) -> pb.SignalEvent:
    async with subscriber, asyncio.timeout(20):
        return await anext(subscriber)


async def _until_caught_up(subscriber: SignalSubscriber) -> None:
    assert subscriber.next_at_hand() is None
    while not subscriber.caught_up.is_set():
        await subscriber.receive()


async def _publish_slowly(exchange: Exchange, count: int) -> None:
    for _ in range(count):
        await publish(exchange.channel, exchange.signal())
        await asyncio.sleep(0.005)
