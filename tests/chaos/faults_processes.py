"""Server processes that die, freeze, stop and are replaced, and whose clocks are wrong."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random
from signal import SIGCONT, SIGSTOP
from typing import Final

import asyncpg

from tests.chaos.arena import Arena
from tests.chaos.draining import drain
from tests.chaos.faults import Part, fault
from tests.chaos.fleet import GRACE, Replica

# Each with the highest count: there are fewer reports than appends.
FAILPOINTS: Final = {
    "before_send": 20,
    "after_send": 20,
    "after_commit": 20,
    "after_ack": 20,
    "before_report": 5,
    "after_report": 5,
}
DEATH_SECONDS: Final = 12
MIGRATION_SECONDS: Final = 60
OFFSETS: Final = ("+3600", "-3600", "+5", "-5", "+86400")
HARMLESS: Final = (
    "ALTER TABLE ai_trading.ai_signals ALTER COLUMN symbol SET STATISTICS 200",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS chaos_by_symbol ON ai_trading.ai_signals (symbol, confidence)",
    "DROP INDEX CONCURRENTLY IF EXISTS ai_trading.chaos_by_symbol",
    "ANALYZE ai_trading.ai_signals",
)


@fault("F1", Part.PROCESSES)
async def killed(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """A server is killed: at any moment, or around an append or a report at a point that it is told."""
    replica = rng.choice(arena.replicas)
    failpoint = rng.choice(("", *FAILPOINTS))
    arena.variants[f"F1 {failpoint or 'at any moment'}"] += 1
    try:
        await replica.kill()
        if failpoint:
            await _dies_at(replica, f"{failpoint}:{rng.randint(1, FAILPOINTS[failpoint])}")
        yield
    finally:
        await replica.revive()


async def _dies_at(replica: Replica, failpoint: str) -> None:
    await replica.start(failpoint)
    assert replica.process is not None
    try:
        async with asyncio.timeout(DEATH_SECONDS):
            await replica.process.wait()
    except TimeoutError:
        await replica.kill()


@fault("F2", Part.PROCESSES)
async def frozen(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """A server is frozen, and wakes with a stale state."""
    pid = rng.choice(arena.replicas).pid
    os.kill(pid, SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, SIGCONT)


@fault("F3", Part.PROCESSES)
async def drained(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """A server is told to stop under load, and started again later."""
    replica = rng.choice(arena.replicas)
    try:
        await _drain(arena, replica)
        yield
    finally:
        await replica.revive()


@fault("F13", Part.PROCESSES)
async def wrong_clock(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """The clock of a server is wrong from the start, and then steps."""
    replica = rng.choice(arena.replicas)
    try:
        await replica.kill()
        replica.set_clock(rng.choice(OFFSETS))
        await replica.start(clocked=True)
        replica.set_clock(rng.choice(OFFSETS))
        yield
    finally:
        await replica.kill()
        await replica.revive()


@fault("F20", Part.PROCESSES)
async def replaced(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """All servers are replaced, one after the other, while the schema is migrated and tables are altered."""
    migrating = asyncio.create_task(_migrate(arena))
    try:
        for replica in rng.sample(arena.replicas, len(arena.replicas)):
            try:
                await _drain(arena, replica)
            finally:
                await replica.revive()
        yield
    finally:
        await migrating


async def _migrate(arena: Arena) -> None:
    environment = {**os.environ, "DATABASE_URL": arena.cluster.url()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ai_grpc", "migrate", "up"), env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(MIGRATION_SECONDS):
        await process.wait()
        for statement in HARMLESS:
            # Another fault may be in the way.
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await arena.ask(statement)


async def _drain(arena: Arena, replica: Replica) -> None:
    """No proxy stands before the streams of the witnesses."""
    arena.history.drains.append(await drain(replica, replica.name, arena.witnesses, GRACE))
