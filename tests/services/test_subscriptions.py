"""Subscribing: where a stream begins, what it brings, and how it ends."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack, suppress
from typing import Any, Final

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.app import running
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.signals import (
    a_signal,
    an_active_model,
    an_exchange,
    chosen,
    details,
    ending,
    execute,
    publish,
    reason,
    refusal,
)
from tests.streams import EARLIEST, Subscription, events, events_in, sequences, started, subscribe, until

CURRENT: Final = streams_pb2.Current()
Response = pb.SubscribeSignalsResponse
UNKNOWN: Final = str(uuid.uuid4())


FAULTS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"earliest": None}, "start"),
    ({"earliest": EARLIEST, "max_batch_size": -1}, "max_batch_size"),
    ({"earliest": EARLIEST, "subscriber_id": "x" * 101}, "subscriber_id"),
    ({"published_after": Timestamp(nanos=-1)}, "published_after"),
    ({"earliest": EARLIEST, "filter": pb.SignalFilter(model_ids=["trend"])}, "filter.model_ids[0]"),
    ({"earliest": EARLIEST, "filter": pb.SignalFilter(symbols=["x" * 33])}, "filter.symbols[0]"),
    ({"earliest": EARLIEST, "filter": pb.SignalFilter(min_confidence=float("nan"))}, "filter.min_confidence"),
    (
        {"earliest": EARLIEST, "filter": pb.SignalFilter(signal_types=[pb.SIGNAL_TYPE_UNSPECIFIED])},
        "filter.signal_types[0]",
    ),
    ({"earliest": EARLIEST, "filter": pb.SignalFilter(kinds=[pb.SignalEvent.KIND_UNSPECIFIED])}, "filter.kinds[0]"),
]


async def test_latest_brings_what_comes_and_nothing_else(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        await publish(channel, a_signal(model))
        stream = subscribe(channel)
        assert (await started(stream)).position.sequence == 1
        await publish(channel, a_signal(model), a_signal(model))
        assert sequences(await events(stream, 2)) == [2, 3]


async def test_a_stream_goes_on_exactly_after_any_position_on_any_replica(database: str) -> None:
    async with an_exchange(database) as one:
        model = await an_active_model(one)
        for count in (1, 2, 3):
            await publish(one, *(a_signal(model) for _ in range(count)))
        async with an_exchange(database) as fresh:
            for channel in (one, fresh):
                origin = (await started(subscribe(channel, earliest=EARLIEST))).position
                for sequence in range(7):
                    after = streams_pb2.Position(epoch=origin.epoch, sequence=sequence)
                    *batches, last = await until(subscribe(channel, after=after), "caught_up")
                    assert sequences(events_in(batches)) == list(range(sequence + 1, 7))
                    assert last.position == streams_pb2.Position(epoch=origin.epoch, sequence=6)


async def test_published_after_is_exclusive_to_the_microsecond(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        for count in (1, 2, 1):
            await publish(channel, *(a_signal(model) for _ in range(count)))
        replayed = await events(subscribe(channel, earliest=EARLIEST), 4)
        moment = replayed[1].commit_time
        assert moment == replayed[2].commit_time
        before, after = Timestamp(), Timestamp()
        before.FromMicroseconds(moment.ToMicroseconds() - 1)
        after.FromMicroseconds(replayed[3].commit_time.ToMicroseconds() + 1)
        for start, expected in ((Timestamp(), 1), (before, 2), (moment, 4), (after, 5)):
            *batches, _ = await until(subscribe(channel, published_after=start), "caught_up")
            assert sequences(events_in(batches)) == list(range(expected, 5))


async def test_current_brings_the_active_signals_first_and_then_goes_on_without_a_gap(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        stub = SignalServiceStub(channel)
        old = [a_signal(model) for _ in range(600)]
        await publish(channel, *old)
        for signal in old[:100:2]:
            await stub.UpdateSignalState(ending(signal))
        # Of an end that the replica has not heard of yet, the event would follow.
        await events(subscribe(channel, earliest=EARLIEST), 650)

        async def go_on() -> None:
            for _ in range(100):
                await publish(channel, a_signal(model), a_signal(model))

        publishing = asyncio.create_task(go_on())
        streams = []
        for _ in range(5):
            streams.append(subscribe(channel, current=CURRENT))
            await started(streams[-1])
        await publishing
        ended = set(range(1, 101, 2)) | set(range(601, 651))
        expected = [sequence for sequence in range(1, 851) if sequence not in ended]
        for stream in streams:
            assert sequences(await events(stream, len(expected))) == expected


async def test_a_request_that_makes_no_sense_names_its_field(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        for fields, fault in FAULTS:
            with subtests.test(fault):
                stream = SignalServiceStub(channel).SubscribeSignals(pb.SubscribeSignalsRequest(**fields))
                error = await refusal(anext(aiter(stream)))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, [fault])


async def test_a_position_ahead_is_waited_for_and_then_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ai_grpc.exchange.feed.AHEAD_WAIT", 20)
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        position = (await started(subscribe(channel))).position
        position.sequence = 2
        patient = subscribe(channel, after=position)
        await publish(channel, a_signal(model), a_signal(model))
        assert (await started(patient)).position == position
        monkeypatch.setattr("ai_grpc.exchange.feed.AHEAD_WAIT", 0.1)
        position.sequence = 3
        error = await refusal(anext(aiter(subscribe(channel, after=position))))
        assert error.code() == grpc.StatusCode.OUT_OF_RANGE
        assert details(error)[:2] == ("POSITION_AHEAD", {"head": "2"})


async def test_a_position_of_another_history_is_refused(database: str) -> None:
    async with an_exchange(database) as channel:
        position = (await started(subscribe(channel))).position
        error = await refusal(anext(aiter(subscribe(channel, after=streams_pb2.Position(epoch=UNKNOWN)))))
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert details(error)[:2] == ("EPOCH_MISMATCH", {"epoch": position.epoch})


async def test_a_position_below_the_floor_is_refused(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        position = (await started(subscribe(channel))).position
        await publish(channel, *(a_signal(model) for _ in range(5)))
    await execute(database, "SELECT trim_signal_log(3)")
    async with an_exchange(database) as channel:
        assert (await started(subscribe(channel))).started.floor == 3
        assert sequences(await events(subscribe(channel, earliest=EARLIEST), 2)) == [4, 5]
        for sequence, bottom in ((-1, True), (2, True), (3, False)):
            position.sequence = sequence
            stream = subscribe(channel, after=position)
            if not bottom:
                assert sequences(await events(stream, 2)) == [4, 5]
                continue
            error = await refusal(anext(aiter(stream)))
            assert error.code() == grpc.StatusCode.OUT_OF_RANGE
            assert details(error)[:2] == ("POSITION_EXPIRED", {"floor": "3"})


async def test_started_says_what_is_in_force(database: str) -> None:
    async with an_exchange(database) as channel:
        await publish(channel, a_signal(await an_active_model(channel)))
        for interval, size, expected in (
            (None, 0, (5.0, 500)),
            (Duration(nanos=1), 1, (0.1, 1)),
            (Duration(seconds=-5), 1, (0.1, 1)),
            (Duration(seconds=2, nanos=500_000_000), 1000, (2.5, 1000)),
            (Duration(seconds=2**40), 1001, (60.0, 1000)),
        ):
            first = await started(subscribe(channel, heartbeat_interval=interval, max_batch_size=size))
            message = first.started
            assert (message.heartbeat_interval.ToTimedelta().total_seconds(), message.max_batch_size) == expected
            assert (message.head, message.floor, bool(message.server_id)) == (1, 0, True)


async def test_a_filter_selects_alike_live_replayed_and_current(database: str) -> None:
    async with an_exchange(database) as channel:
        one, two = [await an_active_model(channel) for _ in range(2)]
        filters = {
            (1, 2, 3, 4): pb.SignalFilter(),
            (1, 2, 4): pb.SignalFilter(symbols=["AAPL", "NONE"]),
            (2, 4): pb.SignalFilter(model_ids=[two.upper(), UNKNOWN]),
            (1, 3): pb.SignalFilter(signal_types=[pb.SIGNAL_TYPE_BUY]),
            (1, 2, 3): pb.SignalFilter(min_confidence=0.5),
            (2,): pb.SignalFilter(symbols=["AAPL"], model_ids=[two], min_confidence=0.5),
            (): pb.SignalFilter(symbols=["NONE"]),
        }
        live = [subscribe(channel, filter=selection) for selection in filters.values()]
        await asyncio.gather(*(started(stream) for stream in live))
        await publish(
            channel,
            a_signal(one, confidence=0.5),
            a_signal(two, signal_type=pb.SIGNAL_TYPE_SELL),
            a_signal(one, symbol="MSFT"),
            a_signal(two, signal_type=pb.SIGNAL_TYPE_HOLD, confidence=0.4999),
        )
        for stream, (expected, selection) in zip(live, filters.items(), strict=True):
            assert sequences(await events(stream, len(expected))) == list(expected)
            for start in ({"earliest": EARLIEST}, {"current": CURRENT}):
                *batches, _ = await until(subscribe(channel, filter=selection, **start), "caught_up")
                assert sequences(events_in(batches)) == list(expected)


async def test_a_filter_selects_what_happened(database: str) -> None:
    async with an_exchange(database) as channel:
        selection = pb.SignalFilter(kinds=[pb.SignalEvent.KIND_EXECUTED, pb.SignalEvent.KIND_CANCELLED])
        stream, signal = subscribe(channel, filter=selection), a_signal(await an_active_model(channel))
        await started(stream)
        await publish(channel, signal)
        await SignalServiceStub(channel).UpdateSignalState(ending(signal))
        [event] = await events(stream, 1)
        assert (event.sequence, event.kind, event.signal.state) == (
            2,
            pb.SignalEvent.KIND_EXECUTED,
            pb.SIGNAL_STATE_EXECUTED,
        )


async def test_one_subscription_too_many_is_refused_until_another_ends(database: str) -> None:
    async with an_exchange(database, max_subscriptions=2) as channel:
        first, second = subscribe(channel), subscribe(channel)
        await asyncio.gather(started(first), started(second))
        error = await refusal(started(subscribe(channel)))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details(error) == ("TOO_MANY_SUBSCRIPTIONS", {"limit": "2"}, [], 1.0)
        first.cancel()
        for _ in range(100):
            with suppress(grpc.aio.AioRpcError):
                await started(subscribe(channel))
                return
            await asyncio.sleep(0.02)
        pytest.fail("the place of a stream that ended is not given away")


async def test_a_stopping_server_says_goodbye_with_the_position(database: str) -> None:
    async with asyncio.timeout(30), AsyncExitStack() as channels:
        async with running(chosen(drain_grace=60), database) as port:
            channel = await channels.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
            model, stream = await an_active_model(channel), subscribe(channel)
            await until(stream, "caught_up")
            await publish(channel, a_signal(model))
            begin = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - begin < 5
        messages = await until(stream, "closing")
        assert sequences(events_in(messages)) == [1]
        assert_closing(messages[-1], streams_pb2.Closing.REASON_SHUTDOWN, sequence=1)
        await assert_draining(stream)


async def test_a_stream_ends_after_its_lifetime_and_goes_on_elsewhere(database: str) -> None:
    async with an_exchange(database, stream_lifetime=0.5) as channel:
        model = await an_active_model(channel)
        await publish(channel, a_signal(model))
        stream = subscribe(channel, earliest=EARLIEST)
        messages = await until(stream, "closing")
        assert sequences(events_in(messages)) == [1]
        assert_closing(messages[-1], streams_pb2.Closing.REASON_LIFETIME, sequence=1)
        await assert_draining(stream)
        await publish(channel, a_signal(model))
        assert sequences(await events(subscribe(channel, after=messages[-1].position), 1)) == [2]


def assert_closing(message: Response, reason: streams_pb2.Closing.Reason.ValueType, sequence: int) -> None:
    assert (message.closing.reason, message.position.sequence) == (reason, sequence)
    assert 0 < message.closing.retry_delay.ToTimedelta().total_seconds() < 1


async def assert_draining(stream: Subscription) -> None:
    error = await refusal(anext(aiter(stream)))
    assert (error.code(), reason(error)) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert details(error).retry_delay is not None
