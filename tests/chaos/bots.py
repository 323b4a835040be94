"""Bots that race to end the signals that were published lately."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from random import Random
from typing import Final

import grpc

from ai_grpc.client.channel import connect
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.chaos.history import End, Outcome
from tests.chaos.recording import Recording, outcome_of

CALL_SECONDS: Final = 3.0
RACERS: Final = 3
TRIES: Final = 3
STATES: Final = {"EXECUTED": pb.SIGNAL_STATE_EXECUTED, "CANCELLED": pb.SIGNAL_STATE_CANCELLED}


async def race(
    name: str, recording: Recording, targets: Sequence[str], rng: Random, stop: asyncio.Event, pause: float
) -> None:
    """Again and again some bots go for the same signal, on any replicas at once, until they are told to stop."""
    channels = {target: connect(target) for target in targets}
    try:
        while not stop.is_set():
            await asyncio.sleep(rng.expovariate(1 / pause))
            if not recording.recent:
                continue
            signal_id = rng.choice(recording.recent)
            async with asyncio.TaskGroup() as racing:
                for number in range(rng.randint(1, RACERS)):
                    bot = _Bot(f"{name}-{number}", recording, channels, Random(rng.random()))
                    racing.create_task(bot.end(signal_id))
    finally:
        for channel in channels.values():
            await channel.close()


class _Bot:
    def __init__(self, name: str, recording: Recording, channels: dict[str, grpc.aio.Channel], rng: Random) -> None:
        self._name, self._recording, self._channels, self._rng = name, recording, channels, rng

    async def end(self, signal_id: str) -> None:
        """Ends the signal; what is unknown it repeats under the same request_id, perhaps on another replica."""
        state = self._rng.choice(list(STATES))
        request = pb.UpdateSignalStateRequest(signal_id=signal_id, state=STATES[state], request_id=str(uuid.uuid4()))
        for _ in range(TRIES):
            if await self._call(request, state) is not Outcome.UNKNOWN:
                return

    async def _call(self, request: pb.UpdateSignalStateRequest, state: str) -> Outcome:
        target = self._rng.choice(list(self._channels))
        invoked = time.monotonic()
        outcome, reason, sequence = Outcome.OK, "", 0
        try:
            call = SignalServiceStub(self._channels[target]).UpdateSignalState(request, timeout=CALL_SECONDS)
            sequence = (await call).position.sequence
        except (grpc.aio.AioRpcError, grpc.aio.InternalError) as failure:
            outcome, reason = outcome_of(failure)
        now = time.monotonic()
        self._recording.ended(
            End(self._name, target, invoked, now, outcome, request.signal_id, state, sequence, reason)
        )
        return outcome
