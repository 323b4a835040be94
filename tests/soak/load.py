"""Publishers at an even pace, and somebody who ends signals."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import grpc

from ai_grpc.client import Published, SignalPublisher, connect
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.load import some_signals
from tests.signals import reason
from tests.soak.latencies import Latencies

if TYPE_CHECKING:
    from ai_grpc.v1.signals_pb2_grpc import SignalServiceAsyncStub

TICK_SECONDS: Final = 0.02
# One of so many signals expires, within seconds.
EXPIRING: Final = 100
EXPIRY_SECONDS: Final = (1, 5)
ENDED_A_SECOND: Final = 5
IN_FLIGHT: Final = 500


class Load:
    """Publishes to all targets alike, until it is told to stop. Every signal must be acknowledged."""

    def __init__(self, targets: Sequence[str], model_ids: Sequence[str]) -> None:
        self._targets, self._model_ids = targets, model_ids
        self._recent: deque[str] = deque(maxlen=1000)
        self.latencies = Latencies()
        self.published = 0
        self.stop = asyncio.Event()

    async def flood(self, seconds: float) -> None:
        """As much as is acknowledged, for so long."""
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for target in self._targets:
                group.create_task(self._flood(target, end))

    async def run(self, per_second: float) -> None:
        """So many signals a second, and ends of a few of them."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._end_some())
            for target in self._targets:
                group.create_task(self._publish(target, per_second / len(self._targets)))

    async def _flood(self, target: str, end: float) -> None:
        async with SignalPublisher(target, max_in_flight=IN_FLIGHT) as publisher:
            while time.monotonic() < end:
                await self._submit(publisher)

    async def _publish(self, target: str, per_second: float) -> None:
        started, sent = time.monotonic(), 0
        async with SignalPublisher(target) as publisher:
            while not self.stop.is_set():
                while sent < (time.monotonic() - started) * per_second:
                    await self._submit(publisher)
                    sent += 1
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.stop.wait(), TICK_SECONDS)

    async def _submit(self, publisher: SignalPublisher) -> None:
        (signal,) = some_signals(self._model_ids, 1)
        now = time.time_ns()
        signal.signal_time.FromNanoseconds(now)
        if random.random() < 1 / EXPIRING:
            signal.expire_time.FromNanoseconds(now + int(random.uniform(*EXPIRY_SECONDS) * 1e9))
        answer = await publisher.submit(signal)
        answer.add_done_callback(partial(self._remember, time.monotonic(), signal.signal_id))

    def _remember(self, called: float, signal_id: str, answer: asyncio.Future[Published]) -> None:
        # Raises for one that was refused, which the loop then reports.
        answer.result()
        self.latencies.add(time.monotonic() - called)
        self.published += 1
        self._recent.append(signal_id)

    async def _end_some(self) -> None:
        async with connect(self._targets[0]) as channel:
            stub: SignalServiceAsyncStub = SignalServiceStub(channel)
            while not self.stop.is_set():
                if self._recent:
                    await _end(stub, random.choice(self._recent))
                await asyncio.sleep(1 / ENDED_A_SECOND)


async def _end(stub: SignalServiceAsyncStub, signal_id: str) -> None:
    state = random.choice((pb.SIGNAL_STATE_EXECUTED, pb.SIGNAL_STATE_CANCELLED))
    try:
        await stub.UpdateSignalState(pb.UpdateSignalStateRequest(signal_id=signal_id, state=state), timeout=30)
    except grpc.aio.AioRpcError as error:
        if reason(error) != "SIGNAL_NOT_ACTIVE":
            raise
