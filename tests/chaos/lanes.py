"""A publisher on the bare stream, which repeats in order what was not answered when the stream breaks."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Any, Final

from grpc import aio

from ai_grpc.client.channel import connect
from ai_grpc.client.status import error_of_message
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.chaos.history import Outcome, Publish
from tests.chaos.nouns import sent_of
from tests.chaos.recording import Recording, outcome_of
from tests.chaos.signals import some_signals

WINDOW: Final = 8
SILENCE: Final = 4.0
FAILURES: Final = (aio.AioRpcError, aio.InternalError, asyncio.InvalidStateError, TimeoutError)

Call = aio.StreamStreamCall[pb.PublishSignalStreamRequest, pb.PublishSignalStreamResponse]


class StreamPublisher:
    """Keeps a few messages in flight on one stream at a time, on any replica."""

    def __init__(
        self, name: str, recording: Recording, targets: Sequence[str], model_ids: Sequence[str], rng: Random
    ) -> None:
        self._name, self._recording, self._targets = name, recording, targets
        self._model_ids, self._rng = model_ids, rng
        self._again: deque[list[pb.Signal]] = deque()
        self._sent: deque[tuple[float, list[pb.Signal]]] = deque()
        self._room = asyncio.Event()

    async def run(self, stop: asyncio.Event, pause: float) -> None:
        """Publishes until it is told to stop, and then until everything is answered."""
        while not stop.is_set() or self._again:
            target = self._rng.choice(self._targets)
            async with connect(target) as channel:
                call = SignalServiceStub(channel).PublishSignalStream()
                receiving = asyncio.create_task(self._receive(call, target))
                try:
                    await self._send(call, receiving, stop, pause)
                    await receiving
                finally:
                    receiving.cancel()
                    call.cancel()
                    await asyncio.wait([receiving])
                    self._take_back(target, receiving)
            await asyncio.sleep(0.1)

    async def _send(self, call: Call, receiving: asyncio.Task[str], stop: asyncio.Event, pause: float) -> None:
        lifetime = time.monotonic() + self._rng.uniform(1, 10)
        try:
            while not receiving.done() and (self._again or not stop.is_set()) and time.monotonic() < lifetime:
                if len(self._sent) < WINDOW:
                    await self._send_one(call)
                await asyncio.sleep(self._rng.expovariate(1 / pause))
            async with asyncio.timeout(SILENCE):
                await call.done_writing()
        except FAILURES:
            return

    async def _send_one(self, call: Call) -> None:
        fresh = round(20 ** self._rng.random())
        signals = self._again.popleft() if self._again else some_signals(self._model_ids, self._rng, fresh)
        invoked = time.monotonic()
        for signal in signals:
            self._recording.sent.setdefault(signal.signal_id, invoked)
        self._sent.append((invoked, signals))
        async with asyncio.timeout(SILENCE):
            await call.write(pb.PublishSignalStreamRequest(signals=signals))

    async def _receive(self, call: Call, target: str) -> str:
        """Takes the answers until the stream ends; returns why."""
        try:
            while True:
                async with asyncio.timeout(SILENCE):
                    response = await call.read()
                if not isinstance(response, pb.PublishSignalStreamResponse):
                    return "END"
                invoked, signals = self._sent.popleft()
                self._answered(target, invoked, signals, response)
        except FAILURES as failure:
            return outcome_of(failure)[1]

    def _answered(
        self, target: str, invoked: float, signals: Sequence[pb.Signal], response: pb.PublishSignalStreamResponse
    ) -> None:
        outcome, reason = Outcome.OK, ""
        if response.HasField("error"):
            outcome, reason = outcome_of(error_of_message(response.error))
        self._write_down(target, invoked, signals, outcome, reason, response.results)

    def _take_back(self, target: str, receiving: asyncio.Task[str]) -> None:
        """Whatever the stream ended with, each message without an answer may have been written."""
        reason = "CANCELLED" if receiving.cancelled() else receiving.result()
        for invoked, signals in self._sent:
            self._write_down(target, invoked, signals, Outcome.UNKNOWN, reason, ())
        self._again.extendleft(signals for _, signals in reversed(self._sent))
        self._sent.clear()
        self._recording.counts["publish streams"] += 1

    def _write_down(
        self, target: str, invoked: float, signals: Sequence[pb.Signal], outcome: Outcome, reason: str, results: Any
    ) -> None:
        self._recording.published(
            Publish(
                self._name,
                target,
                invoked,
                time.monotonic(),
                outcome,
                sent_of(signals),
                tuple(result.sequence for result in results),
                tuple(result.duplicate for result in results),
                reason,
            )
        )
