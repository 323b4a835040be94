"""Publishers by single calls and by the SDK, which write down what they know of every request."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, Final

import grpc

from ai_grpc.client import Published, SignalPublisher
from ai_grpc.client.channel import connect
from ai_grpc.v1 import signals_pb2 as pb
from tests.chaos.calls import send
from tests.chaos.history import Outcome, Publish
from tests.chaos.nouns import noun_of, sent_of
from tests.chaos.recording import Recording, outcome_of
from tests.chaos.signals import some_signals

SDK_SECONDS: Final = 30.0
MOST_UNKNOWN: Final = 50
REPEATED_AT_ONCE: Final = 0.5


class UnaryPublisher:
    """Writes by calls on any replica, one after the other; what is unknown it repeats, sooner or later.

    `make` makes so many items, of which a call has at most so many.
    """

    def __init__(
        self,
        name: str,
        recording: Recording,
        targets: Sequence[str],
        make: Callable[[Random, int], Sequence[Any]],
        rng: Random,
        most: int = 20,
    ) -> None:
        self.unknown: deque[Sequence[Any]] = deque()
        self._name, self._recording, self._make, self._rng = name, recording, make, rng
        self._targets, self._most = targets, most
        self._channels = [connect(target) for target in targets]

    async def run(self, stop: asyncio.Event, pause: float) -> None:
        """Publishes until it is told to stop, and then until nothing is unknown any more."""
        try:
            while not stop.is_set() or self.unknown:
                items = self._next(stop)
                if await self.publish(items) is Outcome.UNKNOWN:
                    self.unknown.append(items)
                await asyncio.sleep(self._rng.expovariate(1 / pause))
        finally:
            for channel in self._channels:
                await channel.close()

    async def publish(self, items: Sequence[Any]) -> Outcome:
        """One call, to any replica."""
        number = self._rng.randrange(len(self._targets))
        return await publish_once(self._name, self._recording, self._targets[number], self._channels[number], items)

    def _next(self, stop: asyncio.Event) -> Sequence[Any]:
        crowded = len(self.unknown) >= MOST_UNKNOWN
        if self.unknown and (stop.is_set() or crowded or self._rng.random() < REPEATED_AT_ONCE):
            return self.unknown.popleft()
        return self._make(self._rng, round(self._most ** self._rng.random()))


async def publish_once(
    name: str,
    recording: Recording,
    replica: str,
    channel: grpc.aio.Channel,
    items: Sequence[Any],
    refusal: str = "",
) -> Outcome:
    """One call that writes, written down; `refusal` is the reason with which it must be refused."""
    invoked = time.monotonic()
    for item in items:
        recording.sent.setdefault(noun_of(item).key(item), invoked)
    outcome, reason = Outcome.OK, ""
    results: Sequence[Any] = ()
    try:
        results = await send(channel, items)
    except (grpc.aio.AioRpcError, grpc.aio.InternalError) as failure:
        outcome, reason = outcome_of(failure)
    recording.published(
        Publish(
            name,
            replica,
            invoked,
            time.monotonic(),
            outcome,
            sent_of(items),
            tuple(getattr(result, "sequence", 0) for result in results),
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
