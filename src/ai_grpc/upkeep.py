"""Upkeep: what the tables need done now and then. Each chore is a function of the database, which any number of
replicas may call at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

import asyncpg

from ai_grpc.db import ACQUIRE_TIMEOUT, UNAVAILABLE, load_queries
from ai_grpc.records import bound

CHORES = {name: bound(sql) for name, sql in load_queries("upkeep").items()}

logger = logging.getLogger(__name__)


class Upkeep:
    """Does all chores at an interval. Their parameters are those of the settings that `given` has."""

    def __init__(self, pool: asyncpg.Pool, *, interval: float, given: Mapping[str, object]) -> None:
        self._pool, self._interval, self._given = pool, interval, given

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            for name, (chore, parameters) in CHORES.items():
                await self._do(name, chore, [self._given[parameter] for parameter in parameters])
            await asyncio.sleep(self._interval)

    async def _do(self, name: str, chore: str, arguments: Sequence[object]) -> None:
        try:
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
                count = await connection.fetchval(chore, *arguments)
            if count:
                logger.info("%s: %d", name.replace("_", " "), count)
        except UNAVAILABLE:
            # The tail says that the database does not answer.
            return
        except asyncpg.PostgresError as error:
            # Signals go on without it.
            logger.error("%s: %s", name.replace("_", " "), error)
