"""Retention that races the subscribers."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from random import Random
from typing import Final

from tests.chaos.arena import Arena
from tests.chaos.faults import Part, fault
from tests.chaos.probes import probe

TRIM: Final = """
SELECT ai_trading.trim_signal_log((m.floor + (h.sequence - m.floor) * $1::float8)::bigint)
FROM ai_trading.log_meta AS m, ai_trading.signal_log_head() AS h
"""
BY_COMMAND: Final = ("-m", "ai_grpc", "db", "trim-log", "--keep-days", "1")
COMMAND_SECONDS: Final = 20
LARGEST_SHARE: Final = 0.2
LAST_SHARE: Final = 0.02
KNOWN_SECONDS: Final = 1.0


@fault("F14", Part.DATABASE)
async def trimmed(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """The oldest events go, past those who still read them; somebody asks for positions around the new floor."""
    await _trim(arena, rng.uniform(0, LARGEST_SHARE))
    if rng.random() < 0.3:
        await _by_command(arena)
    replica = rng.choice(arena.replicas)
    # By then the tail of a replica that is well has read the new floor.
    await asyncio.sleep(KNOWN_SECONDS)
    arena.recording.history.probes += await probe(replica.name, replica.target, quiet=False)
    yield


async def probe_everywhere(arena: Arena) -> None:
    """The same on every replica, when no fault can be the cause of an answer."""
    await _trim(arena, LAST_SHARE)
    await asyncio.sleep(KNOWN_SECONDS)
    for replica in arena.replicas:
        arena.recording.history.probes += await probe(replica.name, replica.target, quiet=True)


async def _trim(arena: Arena, share: float) -> None:
    async with arena.admin() as admin:
        await admin.fetchval(TRIM, share)


async def _by_command(arena: Arena) -> None:
    """The operator's way; a day of events is more than there is, so it takes none."""
    environment = {**os.environ, "DATABASE_URL": arena.cluster.url()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *BY_COMMAND, env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(COMMAND_SECONDS):
        await process.wait()
