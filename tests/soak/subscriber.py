"""A bot of the soak test: it reads for as long as the test lasts, well or badly, and counts what it was given."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Sequence
from typing import Any, Final, Literal

import grpc

from ai_grpc.client import connect
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2
from tests.soak.filters import KINDS, filter_of
from tests.soak.latencies import Latencies
from tests.streams import EARLIEST, subscribe

Habit = Literal["steady", "slow", "restless"]

# Of ten subscribers with the same filter; the others are steady.
HABITS: Final[dict[int, Habit]] = {1: "slow", 2: "restless", 6: "restless"}
HEARTBEAT_SECONDS: Final = 0.5
# A slow one does not read for a while, and then in small messages.
PAUSE_SECONDS: Final = 3
PAUSE_EVERY: Final = 12
SMALL_BATCH: Final = 50
# A restless one changes the server that often.
STAY_SECONDS: Final = (2, 10)
RETRIED: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OUT_OF_RANGE)


class Subscriber:
    """Reads from the very first event on, from one server at a time."""

    def __init__(self, number: int, targets: Sequence[str], model_ids: Sequence[str], latencies: Latencies) -> None:
        self.number, self.habit = number, HABITS.get(number // KINDS % 10, "steady")
        self.count = self.sum = self.sequence = self.reconnects = 0
        self.fault = ""
        self._targets, self._latencies = targets, latencies
        self._wanted = filter_of(number, model_ids)
        self._is_dense = number % KINDS == 0
        self._position: streams_pb2.Position | None = None
        self._pause_at = time.monotonic() + random.uniform(0, PAUSE_EVERY)

    async def run(self, end: asyncio.Future[int]) -> None:
        """Reads up to the sequence that `end` tells, or to the first fault."""
        turn = self.number
        while not self._is_past(end) and not self.fault:
            try:
                async with connect(self._targets[turn % len(self._targets)]) as channel:
                    await self._read(subscribe(channel, **self._request()), end)
            except grpc.aio.AioRpcError as error:
                # The other server may not have heard of the position yet.
                if error.code() not in RETRIED:
                    self.fault = f"{error.code().name}: {error.details()}"
                await asyncio.sleep(0.1)
            # The connection of a closed channel stays until the garbage of its calls is collected.
            gc.collect()
            turn += 1
            self.reconnects += 1

    async def _read(self, call: Any, end: asyncio.Future[int]) -> None:
        leave_at = time.monotonic() + (random.uniform(*STAY_SECONDS) if self.habit == "restless" else 10**9)
        try:
            async for message in call:
                self._take(message)
                if self._is_past(end) or self.fault or time.monotonic() > leave_at:
                    return
                if self.habit == "slow" and not end.done() and time.monotonic() > self._pause_at:
                    await asyncio.sleep(PAUSE_SECONDS)
                    self._pause_at = time.monotonic() + PAUSE_EVERY
        finally:
            call.cancel()

    def _take(self, message: pb.SubscribeSignalsResponse) -> None:
        now = time.time()
        for event in message.batch.events:
            if event.sequence <= self.sequence or (self._is_dense and event.sequence != self.sequence + 1):
                self.fault = self.fault or f"{event.sequence} came after {self.sequence}"
            self.sequence = event.sequence
            self.count += 1
            self.sum += event.sequence
            if self._is_dense and self.habit == "steady" and event.kind == pb.SignalEvent.KIND_PUBLISHED:
                self._latencies.add(now - event.signal.signal_time.seconds - event.signal.signal_time.nanos / 1e9)
        if message.position.sequence < self.sequence:
            self.fault = self.fault or f"position {message.position.sequence} came after {self.sequence}"
        self._position = message.position

    @property
    def position(self) -> int:
        """Every matching event up to here was received."""
        return self._position.sequence if self._position else 0

    def _is_past(self, end: asyncio.Future[int]) -> bool:
        return end.done() and self.position >= end.result()

    def _request(self) -> dict[str, Any]:
        request: dict[str, Any] = {"filter": self._wanted}
        request |= {"after": self._position} if self._position else {"earliest": EARLIEST}
        heartbeat = pb.SubscribeSignalsRequest()
        heartbeat.heartbeat_interval.FromMilliseconds(int(HEARTBEAT_SECONDS * 1000))
        request["heartbeat_interval"] = heartbeat.heartbeat_interval
        request["max_batch_size"] = SMALL_BATCH if self.habit == "slow" else 0
        return request
