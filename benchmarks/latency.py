"""Section latency: one call in flight, against the empty round trip and the direct append."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import grpc

from ai_grpc.client import connect
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from benchmarks.ceilings import append_seconds
from benchmarks.empty import empty_server
from benchmarks.load import Call, a_signal, one_by_one, settle, warm
from benchmarks.stage import Exchange, Stage

if TYPE_CHECKING:
    from ai_grpc.v1.signals_pb2_grpc import SignalServiceAsyncStub

Subscription = grpc.aio.UnaryStreamCall[pb.SubscribeSignalsRequest, pb.SubscribeSignalsResponse]

EVENT_SECONDS = 10


@asynccontextmanager
async def latency(stage: Stage) -> AsyncIterator[Call]:
    """Unary and stream acknowledgements, and the event at a subscriber."""
    count = max(50, int(250 * stage.scale.seconds))
    async with (
        stage.exchange() as exchange,
        stage.ceiling() as (_, connection, model_id),
        empty_server() as target,
        connect(target) as channel,
    ):
        empty = SignalServiceStub(channel)

        async def round() -> None:
            note = stage.figures.note_latency
            note("empty unary", await one_by_one(unary_call(empty, model_id), count))
            note("empty bidi", await stream_seconds(empty, model_id, count))
            note("append of 1", await direct_seconds(connection, empty, model_id, count))
            acks, events = await acks_and_events(exchange, count)
            note("unary ack", acks)
            note("event", events)
            note("stream ack", await stream_seconds(exchange.signals, exchange.model_id, count))
            exchange.acked += 2 * count

        yield round
        await exchange.check_stored()


def unary_call(stub: SignalServiceAsyncStub, model_id: str) -> Call:
    """A unary call with one new signal."""

    async def call() -> object:
        return await stub.PublishSignals(pb.PublishSignalsRequest(signals=[a_signal(model_id)]))

    return call


async def direct_seconds(
    connection: asyncpg.Connection, empty: SignalServiceAsyncStub, model_id: str, count: int
) -> list[float]:
    """Seconds of each direct append of one row, with an empty call before each."""
    singles = [[a_signal(model_id)] for _ in range(count)]
    return await append_seconds(connection, singles, unary_call(empty, model_id))


async def stream_seconds(stub: SignalServiceAsyncStub, model_id: str, count: int) -> list[float]:
    """Seconds of each round trip of a message with one new signal on one publish stream."""
    call = stub.PublishSignalStream()

    async def exchange_one() -> None:
        await call.write(pb.PublishSignalStreamRequest(signals=[a_signal(model_id)]))
        response = await call.read()
        if not isinstance(response, pb.PublishSignalStreamResponse) or response.HasField("error"):
            raise RuntimeError(f"the stream answered {response}")

    seconds = await one_by_one(exchange_one, count)
    await call.done_writing()
    return seconds


async def acks_and_events(exchange: Exchange, count: int) -> tuple[list[float], list[float]]:
    """Seconds from a unary call to its ack, and to the event at a subscriber, which is waited for before the next."""
    acks: list[float] = []
    events: list[float] = []
    arrivals: asyncio.Queue[tuple[str, float]] = asyncio.Queue()
    stream = exchange.signals.SubscribeSignals(pb.SubscribeSignalsRequest(latest=streams_pb2.Latest()))
    await stream.read()
    settle()
    async with asyncio.TaskGroup() as reading:
        reading.create_task(_hear(stream, count, arrivals))
        for _ in range(count):
            signal = a_signal(exchange.model_id)
            started = time.perf_counter()
            await exchange.signals.PublishSignals(pb.PublishSignalsRequest(signals=[signal]))
            acks.append(time.perf_counter() - started)
            signal_id, arrived = await asyncio.wait_for(arrivals.get(), EVENT_SECONDS)
            if signal_id != signal.signal_id:
                raise RuntimeError(f"the event of {signal_id} came instead of that of {signal.signal_id}")
            events.append(arrived - started)
    stream.cancel()
    return warm(acks), warm(events)


async def _hear(stream: Subscription, count: int, arrivals: asyncio.Queue[tuple[str, float]]) -> None:
    heard = 0
    while heard < count:
        message = await stream.read()
        now = time.perf_counter()
        if not isinstance(message, pb.SubscribeSignalsResponse):
            raise RuntimeError("the stream ended")
        for event in message.batch.events:
            arrivals.put_nowait((event.signal.signal_id, now))
            heard += 1
