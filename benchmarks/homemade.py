"""What people write themselves: an INSERT into a plain table, and a NOTIFY that carries the payload."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

TABLE = "CREATE TABLE IF NOT EXISTS home_signals (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload JSONB)"
PUBLISH = """
WITH stored AS (INSERT INTO home_signals (payload) VALUES ($1::text::jsonb) RETURNING id)
SELECT pg_notify('home_signals', $1) FROM stored
"""
INSERT = "INSERT INTO home_signals (payload) VALUES ($1::text::jsonb)"
COUNT = "SELECT count(*) FROM home_signals"
POOL = 16
HEAR_SECONDS = 10


class Homemade:
    """A pool that publishes in one statement, and one connection that listens."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._heard = self._expected = 0
        self._heard_all = asyncio.Event()

    async def publish(self, payload: bytes) -> object:
        """Returns after the commit."""
        return await self._pool.execute(PUBLISH, payload.decode())

    async def count(self) -> int:
        """How many rows there are."""
        return int(await self._pool.fetchval(COUNT))

    async def stored(self) -> int:
        """How many rows there are. Raises TimeoutError if the listener does not hear of as many."""
        self._expected = await self.count()
        self._check()
        await asyncio.wait_for(self._heard_all.wait(), HEAR_SECONDS)
        return self._expected

    def hear(self, *_: object) -> None:
        """Counts a notification."""
        self._heard += 1
        self._check()

    def _check(self) -> None:
        if self._heard == self._expected:
            self._heard_all.set()


@asynccontextmanager
async def homemade(dsn: str, pool_size: int = POOL) -> AsyncIterator[Homemade]:
    """The table, in a database that may hold others, with a pool of open connections and one that listens."""
    async with asyncpg.create_pool(dsn, min_size=pool_size, max_size=pool_size) as pool:
        await pool.execute(TABLE)
        peer = Homemade(pool)
        listener = await asyncpg.connect(dsn)
        try:
            await listener.add_listener("home_signals", peer.hear)
            yield peer
        finally:
            await listener.close()
