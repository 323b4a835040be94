"""Upkeep: what the tables need done now and then. Each chore is a function of the database, which any number of
replicas may call at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

import asyncpg

from ai_grpc.db import UNAVAILABLE, Line, load_queries
from ai_grpc.records import bound

CHORES = {name: bound(sql) for name, sql in load_queries("upkeep").items()}

logger = logging.getLogger(__name__)


class Upkeep:
    """Does all chores at an interval. Their parameters are those of the settings that `given` has."""

    def __init__(self, line: Line, *, interval: float, given: Mapping[str, object]) -> None:
        self._line, self._interval, self._given = line, interval, given

    async def run(self) -> None:
        """Works until it is cancelled."""
        try:
            while True:
                for name, (chore, parameters) in CHORES.items():
                    await self._do(name, chore, [self._given[parameter] for parameter in parameters])
                await asyncio.sleep(self._interval)
        finally:
            self._line.drop()

    async def _do(self, name: str, chore: str, arguments: Sequence[object]) -> None:
        try:
            count = await (await self._line.get()).fetchval(chore, *arguments)
            if count:
                logger.info("%s: %d", name.replace("_", " "), count)
        except asyncpg.PostgresError as error:
            # Signals go on without it.
            logger.error("%s: %s", name.replace("_", " "), error)
        except UNAVAILABLE:
            # The tail says that the database does not answer.
            self._line.drop()
