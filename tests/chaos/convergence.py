"""After everything is healed: who publishes is served, and who subscribes is at the head, within a bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from random import Random
from typing import Final

from ai_grpc.client.channel import connect
from tests.chaos.arena import Arena
from tests.chaos.clients import Follower
from tests.chaos.history import Measurement, Outcome
from tests.chaos.ledgers import LEDGERS
from tests.chaos.nouns import ANOMALY, SIGNAL, Noun
from tests.chaos.publishers import publish_once

CONVERGENCE_SECONDS: Final = 10.0
PATIENCE: Final = 20.0
LOOK_AGAIN: Final = 0.05


async def converge(arena: Arena, subscribers: Sequence[Follower], when: str) -> None:
    """Writes down how long it takes until every replica takes a signal and an anomaly, and every subscriber has had
    them all."""
    started = time.monotonic()
    places = [(noun, number) for noun in (SIGNAL, ANOMALY) for number in range(len(arena.replicas))]
    served = await asyncio.gather(*(_served(arena, noun, number, started) for noun, number in places))
    _note(arena, f"{when}: seconds until every replica takes signals and anomalies", max(served))
    heads = {noun: await arena.ask(ledger.head) for ledger in LEDGERS for noun in ledger.nouns}
    while behind := [each for each in subscribers if each.taken is None or each.taken.sequence < heads[each.noun]]:
        if time.monotonic() - started > PATIENCE:
            late = [f"{each.name} at {each.taken} of {heads[each.noun]}" for each in behind]
            arena.troubles.append(f"{when}: behind: {', '.join(late)}")
            break
        await asyncio.sleep(LOOK_AGAIN)
    _note(arena, f"{when}: seconds until every subscriber is at the head", time.monotonic() - started)


async def _served(arena: Arena, noun: Noun, number: int, started: float) -> float:
    """How long after the start the replica has taken one."""
    replica = arena.replicas[number]
    async with connect(replica.target) as channel:
        items = arena.make(noun)(Random(number), 1)
        while time.monotonic() - started < PATIENCE:
            outcome = await publish_once(f"late-{replica.name}", arena.recordings[noun], replica.name, channel, items)
            if outcome is Outcome.OK:
                break
            await asyncio.sleep(LOOK_AGAIN)
    return time.monotonic() - started


def _note(arena: Arena, what: str, seconds: float) -> None:
    arena.history.measurements.append(Measurement("I13", what, round(seconds, 3), CONVERGENCE_SECONDS))
