"""With nothing broken but the notifications, every replica follows the others by polling."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Final

from ai_grpc.client.channel import connect
from tests.chaos.arena import Arena
from tests.chaos.faults_network import misbehaving
from tests.chaos.fleet import POLL_INTERVAL, Replica
from tests.chaos.history import Measurement
from tests.chaos.ledgers import LEDGERS, Ledger
from tests.chaos.publishers import publish_once
from tests.chaos.wire import Mode

# Beside the poll itself, on a machine with other work to do.
ALLOWANCE: Final = 1.5
EACH: Final = 2
PATIENCE: Final = 5.0
LOOK_AGAIN: Final = 0.02


async def measure_polling(arena: Arena) -> None:
    """Publishes while nobody else does, for a commit of its own would bring a replica up to date as well."""
    slowest = 0.0
    with misbehaving([replica.tail for replica in arena.replicas], Mode.MUTE, Random(0)):
        for replica in arena.replicas:
            lags = [await asyncio.gather(*(_lag(arena, ledger, replica) for ledger in LEDGERS)) for _ in range(EACH)]
            # The machine may have paused in one of the tries; a poll that does not come is missing in each.
            slowest = max(slowest, *map(min, zip(*lags, strict=True)))
    what = "slowest delivery by another replica without notifications, s"
    arena.history.measurements.append(Measurement("I13", what, round(slowest, 3), POLL_INTERVAL + ALLOWANCE))


async def _lag(arena: Arena, ledger: Ledger, replica: Replica) -> float:
    """How long after the ack the witnesses of all replicas have the event."""
    noun = ledger.nouns[0]
    async with connect(replica.target) as channel:
        items = arena.make(noun)(Random(time.monotonic()), 1)
        await publish_once("alone", arena.recordings[noun], replica.name, channel, items)
    published = time.monotonic()
    head = await arena.ask(ledger.head)
    witnesses = [witness for witness in arena.witnesses if witness.noun is noun]
    while any(witness.taken is None or witness.taken.sequence < head for witness in witnesses):
        if time.monotonic() - published > PATIENCE:
            break
        await asyncio.sleep(LOOK_AGAIN)
    return time.monotonic() - published
