"""Publishers by single calls and by the SDK, which write down what they know of every request."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

import grpc

from ai_grpc.client import Published, SignalPublisher
from ai_grpc.client.channel import connect
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.chaos.history import Outcome, Publish
from tests.chaos.recording import Recording, outcome_of, sent_of
from tests.chaos.signals import some_signals

if TYPE_CHECKING:
    from ai_grpc.v1.signals_pb2_grpc import SignalServiceAsyncStub

CALL_SECONDS: Final = 3.0
SDK_SECONDS: Final = 30.0
MOST_UNKNOWN: Final = 50
REPEATED_AT_ONCE: Final = 0.5


class UnaryPublisher:
    """Calls PublishSignals on any replica, one call after the other; what is unknown it repeats, sooner or later."""

    def __init__(
        self, name: str, recording: Recording, targets: Sequence[str], model_ids: Sequence[str], rng: Random
    ) -> None:
        self.unknown: deque[list[pb.Signal]] = deque()
        self._name, self._recording, self._model_ids, self._rng = name, recording, model_ids, rng
        self._targets = targets
        self._channels = [connect(target) for target in targets]

    async def run(self, stop: asyncio.Event, pause: float) -> None:
        """Publishes until it is told to stop, and then until nothing is unknown any more."""
        try:
            while not stop.is_set() or self.unknown:
                signals = self._next(stop)
                outcome = await self.publish(signals)
                if outcome is Outcome.UNKNOWN:
                    self.unknown.append(signals)
                await asyncio.sleep(self._rng.expovariate(1 / pause))
        finally:
            for channel in self._channels:
                await channel.close()

    async def publish(self, signals: Sequence[pb.Signal]) -> Outcome:
        """One call, to any replica."""
        number = self._rng.randrange(len(self._targets))
        stub: SignalServiceAsyncStub = SignalServiceStub(self._channels[number])
        return await publish_once(self._name, self._recording, self._targets[number], stub, signals)

    def _next(self, stop: asyncio.Event) -> list[pb.Signal]:
        crowded = len(self.unknown) >= MOST_UNKNOWN
        if self.unknown and (stop.is_set() or crowded or self._rng.random() < REPEATED_AT_ONCE):
            return self.unknown.popleft()
        return some_signals(self._model_ids, self._rng, round(20 ** self._rng.random()))


async def publish_once(
    name: str,
    recording: Recording,
    replica: str,
    stub: SignalServiceAsyncStub,
    signals: Sequence[pb.Signal],
    refusal: str = "",
) -> Outcome:
    """One call of PublishSignals, written down; `refusal` is the reason with which it must be refused."""
    invoked = time.monotonic()
    for signal in signals:
        recording.sent.setdefault(signal.signal_id, invoked)
    outcome, reason = Outcome.OK, ""
    results: Sequence[pb.PublishResult] = ()
    try:
        response = await stub.PublishSignals(pb.PublishSignalsRequest(signals=signals), timeout=CALL_SECONDS)
        results = response.results
    except (grpc.aio.AioRpcError, grpc.aio.InternalError) as failure:
        outcome, reason = outcome_of(failure)
    recording.published(
        Publish(
            name,
            replica,
            invoked,
            time.monotonic(),
            outcome,
            sent_of(signals),
            tuple(result.sequence for result in results),
            tuple(result.duplicate for result in results),
            reason,
            refusal,
        )
    )
    return outcome


async def publish_by_sdk(
    name: str,
    recording: Recording,
    targets: Sequence[str],
    model_ids: Sequence[str],
    rng: Random,
    stop: asyncio.Event,
    pause: float,
) -> None:
    """Publishes by the SDK until it is told to stop, then waits for the last answers."""

    def remember(invoked: float, signal: pb.Signal, answer: asyncio.Future[Published]) -> None:
        failure = None if answer.cancelled() else answer.exception()
        outcome, reason = outcome_of(failure) if failure else (Outcome.OK, "")
        known = outcome is Outcome.OK and not answer.cancelled()
        sequences = (answer.result().sequence,) if known else ()
        duplicates = (answer.result().duplicate,) if known else ()
        outcome = outcome if known or failure else Outcome.UNKNOWN
        ended = time.monotonic()
        recording.published(
            Publish(name, "any", invoked, ended, outcome, sent_of([signal]), sequences, duplicates, reason)
        )

    async with SignalPublisher(targets, max_in_flight=500) as publisher:
        while not stop.is_set():
            for signal in some_signals(model_ids, rng, rng.randint(1, 5)):
                invoked = recording.sent[signal.signal_id] = time.monotonic()
                with suppress(TimeoutError):  # Not sent: there was no room for so long.
                    answer = await publisher.submit(signal, timeout=SDK_SECONDS)
                    answer.add_done_callback(partial(remember, invoked, signal))
            await asyncio.sleep(rng.expovariate(1 / pause))
