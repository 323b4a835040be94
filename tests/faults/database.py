"""The database as its administrator sees it: who is connected, who waits, and the lock that all appends take."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import asyncpg

LOCK: Final = "SELECT pg_advisory_lock(4711001, 0)"
UNLOCK: Final = "SELECT pg_advisory_unlock(4711001, 0)"
PIDS: Final = """
SELECT substr(application_name, 9), pid FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'ai\\_grpc %'
"""
WAITING: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'ai_grpc {}' AND wait_event_type = 'Lock'
"""
# Of a server whose appends wait in vain for as long as a test lets them.
PATIENT: Final = {"AI_GRPC_LOCK_TIMEOUT": "30", "AI_GRPC_STATEMENT_TIMEOUT": "30"}
HEAD: Final = "SELECT coalesce(max(sequence), 0) FROM ai_trading.signal_log"


@asynccontextmanager
async def administrator(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the superuser."""
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=30)
    try:
        yield connection
    finally:
        await connection.close(timeout=10)


@asynccontextmanager
async def no_appends(admin: asyncpg.Connection) -> AsyncIterator[None]:
    """Appends wait meanwhile, as they would behind another replica that is slow."""
    await admin.execute(LOCK)
    try:
        yield
    finally:
        await admin.execute(UNLOCK)


async def until(admin: asyncpg.Connection, query: str, value: object, seconds: float = 20) -> None:
    """Returns when the query gives the value."""
    async with asyncio.timeout(seconds):
        while await admin.fetchval(query) != value:
            await asyncio.sleep(0.02)
            # Within a transaction, who is connected stays as it was first seen.
            await admin.execute("SELECT pg_stat_clear_snapshot()")


async def until_waiting(admin: asyncpg.Connection, purpose: str, count: int) -> None:
    """Returns when so many of the servers' connections for a purpose wait for a lock."""
    await until(admin, WAITING.format(purpose), count)


async def connections(admin: asyncpg.Connection, purpose: str) -> set[int]:
    """The processes that serve the servers' connections for a purpose."""
    return {pid for name, pid in await admin.fetch(PIDS) if name == purpose}


@asynccontextmanager
async def most_connections(admin: asyncpg.Connection) -> AsyncIterator[Counter[str]]:
    """The most connections that the servers held at a time, by what they are for; looks again and again."""
    most: Counter[str] = Counter()

    async def look() -> None:
        while True:
            most.update(Counter(name for name, _ in await admin.fetch(PIDS)) - most)
            await asyncio.sleep(0.005)

    async with AsyncExitStack() as stack:
        looking = asyncio.create_task(look())
        stack.push_async_callback(asyncio.wait, [looking])
        stack.callback(looking.cancel)
        yield most


async def head(admin: asyncpg.Connection) -> int:
    """The last sequence of the log; 0 if it is empty."""
    return int(await admin.fetchval(HEAD))
