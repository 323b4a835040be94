"""Keeping the server from appending, so that requests are under way for as long as a test likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

WAITING: Final = """
SELECT EXISTS (
  SELECT FROM pg_locks JOIN pg_database ON oid = database WHERE NOT granted AND datname = current_database()
)
"""


class Holder:
    """Keeps everybody from appending until it is released."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def waiter(self) -> None:
        """Returns when an append waits."""
        while True:
            if await self._connection.fetchval(WAITING):
                return
            await asyncio.sleep(0.005)

    async def release(self) -> None:
        """Lets everybody append."""
        await self._connection.execute("SELECT pg_advisory_unlock_all()")


@asynccontextmanager
async def appends_held(database: str) -> AsyncIterator[Holder]:
    """Nothing is appended meanwhile."""
    connection = await asyncpg.connect(database, timeout=10)
    try:
        await connection.execute("SELECT pg_advisory_lock(4711001, 0)")
        yield Holder(connection)
    finally:
        await connection.close(timeout=10)
