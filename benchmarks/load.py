"""The load: signals as a model would make them, and callers that publish them."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from uuid import uuid4

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.v1 import signals_pb2 as pb

WARM_UP = 10
METADATA = Struct()
METADATA.update({"rsi": 31, "generation": 12})

Call = Callable[[], Awaitable[object]]


class Load(NamedTuple):
    """Calls a second and how long each took, but for those of the first tenth, which warm up; and the count of all."""

    rate: float
    seconds: list[float]
    calls: int


def a_signal(model_id: str, now: int = 0) -> pb.Signal:
    """A signal with every field that models commonly set, made `now` (in nanoseconds)."""
    now = now or time.time_ns()
    # A UUID of version 7, as the contract advises.
    tail = uuid4().hex
    head = f"{now // 1_000_000:012x}"
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


def settle() -> None:
    """Keeps the garbage collector away from all that was made before a measurement."""
    gc.collect()
    gc.freeze()


async def one_by_one(call: Call, count: int) -> list[float]:
    """Seconds of each of `count` calls, one in flight."""
    settle()
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - started)
    return warm(seconds)


async def load(call: Call, in_flight: int, duration: float) -> Load:
    """`in_flight` callers, each of which calls again when it is answered. A call that fails ends it with its error."""
    settle()
    seconds: list[float] = []
    count = 0
    begin = time.perf_counter() + duration / WARM_UP
    end = begin + duration

    async def caller() -> None:
        nonlocal count
        while (started := time.perf_counter()) < end:
            await call()
            count += 1
            if started >= begin:
                seconds.append(time.perf_counter() - started)

    async with asyncio.TaskGroup() as callers:
        for _ in range(in_flight):
            callers.create_task(caller())
    return Load(len(seconds) / (time.perf_counter() - begin), seconds, count)


def paced(call: Call, rate: float) -> Call:
    """The call, but only so many a second."""
    due = time.perf_counter()

    async def wait_and_call() -> object:
        nonlocal due
        due = max(due + 1 / rate, time.perf_counter() - 1 / rate)
        await asyncio.sleep(due - time.perf_counter())
        return await call()

    return wait_and_call


def warm(seconds: list[float]) -> list[float]:
    """Without the first tenth."""
    return seconds[len(seconds) // WARM_UP :]
