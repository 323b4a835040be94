"""After everything is healed: who publishes is served, and who subscribes is at the head, within a bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from random import Random
from typing import Final

from ai_grpc.client.channel import connect
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.chaos.arena import Arena
from tests.chaos.history import Measurement, Outcome
from tests.chaos.publishers import publish_once
from tests.chaos.sdk_subscribers import SdkSubscriber
from tests.chaos.signals import some_signals
from tests.chaos.subscribers import Subscriber
from tests.faults.database import HEAD

CONVERGENCE_SECONDS: Final = 10.0
PATIENCE: Final = 20.0
LOOK_AGAIN: Final = 0.05


async def converge(arena: Arena, subscribers: Sequence[Subscriber | SdkSubscriber], when: str) -> None:
    """Writes down how long it takes until every replica takes a signal, and every subscriber has had them all."""
    started = time.monotonic()
    served = await asyncio.gather(*(_served(arena, number, started) for number in range(len(arena.replicas))))
    _note(arena, f"{when}: seconds until every replica takes signals", max(served))
    head = await arena.ask(HEAD)
    while behind := [each for each in subscribers if each.taken is None or each.taken.sequence < head]:
        if time.monotonic() - started > PATIENCE:
            arena.troubles.append(
                f"{when}: behind {head}: {', '.join(f'{each.name} at {each.taken}' for each in behind)}"
            )
            break
        await asyncio.sleep(LOOK_AGAIN)
    _note(arena, f"{when}: seconds until every subscriber is at the head", time.monotonic() - started)


async def _served(arena: Arena, number: int, started: float) -> float:
    """How long after the start the replica has taken a signal."""
    replica = arena.replicas[number]
    async with connect(replica.target) as channel:
        stub = SignalServiceStub(channel)
        signals = some_signals(arena.model_ids, Random(number), 1)
        while time.monotonic() - started < PATIENCE:
            outcome = await publish_once(f"late-{replica.name}", arena.recording, replica.name, stub, signals)
            if outcome is Outcome.OK:
                break
            await asyncio.sleep(LOOK_AGAIN)
    return time.monotonic() - started


def _note(arena: Arena, what: str, seconds: float) -> None:
    arena.recording.history.measurements.append(Measurement("I13", what, round(seconds, 3), CONVERGENCE_SECONDS))
