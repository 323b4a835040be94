"""Locks that a test takes, so that requests are under way for as long as it likes, or wait for each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from tests.faults.database import administrator, no_appends, until

WAITERS: Final = """
SELECT count(*) >= {} FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def waiters(connection: asyncpg.Connection, count: int) -> None:
    """Returns when at least so many wait for a lock in the database."""
    await until(connection, WAITERS.format(count), True)


@asynccontextmanager
async def appends_held(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Nothing is appended meanwhile."""
    async with administrator(database) as connection, no_appends(connection):
        yield connection


@asynccontextmanager
async def deadlock(database: str, lock: str, rows: Sequence[str]) -> AsyncIterator[None]:
    """Whoever locks these three rows in this order meanwhile meets a deadlock, and is the one who is told."""
    first, second, third = rows

    async def cross() -> None:
        # The call waits for the second row until it is waited for itself: then it goes on, to the third.
        async with other.transaction():
            async with gate.transaction():
                await gate.execute(lock, second)
                await other.execute(lock, third)
                held.set()
                await waiters(gate, 1)
                crossed = group.create_task(other.execute(lock, first))
                await waiters(gate, 2)
            await crossed

    held = asyncio.Event()
    async with administrator(database) as gate, administrator(database) as other, asyncio.TaskGroup() as group:
        # It does not look whether it waits in vain: PostgreSQL looks once, and whoever looks last is told.
        await other.execute("SET deadlock_timeout = '1h'")
        group.create_task(cross())
        await held.wait()
        yield
