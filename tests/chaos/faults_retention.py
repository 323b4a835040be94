"""Retention that races the subscribers."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from itertools import chain, product
from random import Random
from typing import Final

from tests.chaos.arena import Arena
from tests.chaos.faults import Part, fault
from tests.chaos.fleet import Replica
from tests.chaos.ledgers import LEDGERS, Ledger
from tests.chaos.probes import probe

BY_COMMAND: Final = ("-m", "ai_grpc", "db", "trim-log", "--keep-days", "1")
COMMAND_SECONDS: Final = 20
LARGEST_SHARE: Final = 0.2
LAST_SHARE: Final = 0.02
KNOWN_SECONDS: Final = 1.0


@fault("F14", Part.DATABASE)
async def trimmed(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """The oldest events go, past those who still read them; somebody asks for positions around the new floor."""
    ledger = rng.choice(LEDGERS)
    arena.variants[f"F14 {ledger.name}"] += 1
    await _trim(arena, ledger, rng.uniform(0, LARGEST_SHARE))
    if rng.random() < 0.3:
        await _by_command(arena)
    replica = rng.choice(arena.replicas)
    # By then the tail of a replica that is well has read the new floor.
    await asyncio.sleep(KNOWN_SECONDS)
    await _probe(arena, ledger, [replica], quiet=False)
    yield


async def probe_everywhere(arena: Arena) -> None:
    """The same on every replica, when no fault can be the cause of an answer."""
    for ledger in LEDGERS:
        await _trim(arena, ledger, LAST_SHARE)
    await asyncio.sleep(KNOWN_SECONDS)
    await asyncio.gather(*(_probe(arena, ledger, arena.replicas, quiet=True) for ledger in LEDGERS))


async def _probe(arena: Arena, ledger: Ledger, replicas: Sequence[Replica], *, quiet: bool) -> None:
    places = product(replicas, ledger.nouns)
    tried = await asyncio.gather(*(probe(one.name, one.target, noun, quiet=quiet) for one, noun in places))
    arena.histories[ledger].probes += chain.from_iterable(tried)


async def _trim(arena: Arena, ledger: Ledger, share: float) -> None:
    async with arena.admin() as admin:
        await admin.fetchval(ledger.trim, share)


async def _by_command(arena: Arena) -> None:
    """The operator's way; a day of events is more than there is, so it takes none."""
    environment = {**os.environ, "DATABASE_URL": arena.cluster.url()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *BY_COMMAND, env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(COMMAND_SECONDS):
        await process.wait()
