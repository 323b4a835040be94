"""The load: signals as a model would make them, and callers that publish them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.v1 import signals_pb2 as pb

METADATA = Struct()
METADATA.update({"rsi": 31, "generation": 12})


def a_signal(model_id: str) -> pb.Signal:
    """A signal with every field that models commonly set."""
    now = time.time_ns()
    milliseconds = now // 1_000_000
    # A UUID of version 7, as the contract advises.
    tail = uuid4().hex
    head = f"{milliseconds:012x}"
    signal_time = Timestamp(seconds=now // 1_000_000_000, nanos=now % 1_000_000_000)
    return pb.Signal(
        signal_id=f"{head[:8]}-{head[8:]}-7{tail[:3]}-a{tail[3:6]}-{tail[6:18]}",
        model_id=model_id,
        symbol="EURUSD",
        signal_type=pb.SIGNAL_TYPE_BUY,
        confidence=0.8734,
        price_target="1.2345",
        stop_loss="1.2",
        take_profit="1.3",
        reference_price="1.22",
        signal_time=signal_time,
        market_data_time=signal_time,
        expire_time=Timestamp(seconds=signal_time.seconds + 3600),
        metadata=METADATA,
    )


async def one_by_one(call: Callable[[], Awaitable[object]], count: int) -> list[float]:
    """Seconds of each of `count` calls, one in flight."""
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - started)
    return seconds


async def rate(call: Callable[[], Awaitable[object]], in_flight: int, duration: float) -> float:
    """Calls a second with `in_flight` callers, each of which calls again when it is answered."""
    loop = asyncio.get_running_loop()
    started, done = loop.time(), 0
    end = started + duration

    async def caller() -> None:
        nonlocal done
        while loop.time() < end:
            await call()
            done += 1

    async with asyncio.TaskGroup() as callers:
        for _ in range(in_flight):
            callers.create_task(caller())
    return done / (loop.time() - started)
