"""Upkeep: what the tables need done now and then. Each chore is a function of the database, which any number of
replicas may call at a time."""

from __future__ import annotations

import asyncio
import logging

import asyncpg

from ai_grpc.db import UNAVAILABLE, load_queries

CHORES = load_queries("upkeep")

logger = logging.getLogger(__name__)


class Upkeep:
    """Does all chores at an interval."""

    def __init__(self, pool: asyncpg.Pool, *, interval: float) -> None:
        self._pool, self._interval = pool, interval

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            for name, chore in CHORES.items():
                await self._do(name, chore)
            await asyncio.sleep(self._interval)

    async def _do(self, name: str, chore: str) -> None:
        try:
            if count := await self._pool.fetchval(chore):
                logger.info("%s: %d", name.replace("_", " "), count)
        except UNAVAILABLE:
            # The tail says that the database does not answer.
            return
