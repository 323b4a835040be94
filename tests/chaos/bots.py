"""Bots that race to end what was published or reported lately."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

import grpc

from ai_grpc.client.channel import connect
from tests.chaos.calls import end
from tests.chaos.history import End, Outcome
from tests.chaos.recording import Recording, outcome_of

RACERS: Final = 3
TRIES: Final = 3


def a_state(rng: Random) -> str:
    """How a signal ends."""
    return rng.choice(("EXECUTED", "CANCELLED"))


def a_resolution(rng: Random) -> str:
    """How an anomaly ends, with a note of its own."""
    return f"RESOLVED {rng.getrandbits(64):x}"


async def race(
    name: str,
    recording: Recording,
    targets: Sequence[str],
    ending: Callable[[Random], str],
    rng: Random,
    stop: asyncio.Event,
    pause: float,
) -> None:
    """Again and again some bots go for the same, on any replicas at once, until they are told to stop."""
    channels = {target: connect(target) for target in targets}
    try:
        while not stop.is_set():
            await asyncio.sleep(rng.expovariate(1 / pause))
            if not recording.recent:
                continue
            key = rng.choice(recording.recent)
            async with asyncio.TaskGroup() as racing:
                for number in range(rng.randint(1, RACERS)):
                    bot = _Bot(f"{name}-{number}", recording, channels, Random(rng.random()))
                    racing.create_task(bot.end(key, ending(rng)))
    finally:
        for channel in channels.values():
            await channel.close()


class _Bot:
    def __init__(self, name: str, recording: Recording, channels: dict[str, grpc.aio.Channel], rng: Random) -> None:
        self._name, self._recording, self._channels, self._rng = name, recording, channels, rng

    async def end(self, key: str, state: str) -> None:
        """Ends it; what is unknown it repeats as the same request, perhaps on another replica."""
        request_id = str(uuid.uuid4())
        for _ in range(TRIES):
            if await self._call(key, state, request_id) is not Outcome.UNKNOWN:
                return

    async def _call(self, key: str, state: str, request_id: str) -> Outcome:
        target = self._rng.choice(list(self._channels))
        invoked = time.monotonic()
        outcome, reason, sequence = Outcome.OK, "", 0
        try:
            sequence = await end(self._channels[target], key, state, request_id)
        except (grpc.aio.AioRpcError, grpc.aio.InternalError) as failure:
            outcome, reason = outcome_of(failure)
        self._recording.ended(End(self._name, target, invoked, time.monotonic(), outcome, key, state, sequence, reason))
        return outcome
