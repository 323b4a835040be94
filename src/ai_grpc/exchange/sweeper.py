"""The sweeper: turns signals past their expire_time to EXPIRED, through the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from ai_grpc.db import UNAVAILABLE, Line, load_queries

SQL = load_queries("log")

# The append lock is held while a round is written, so a round is as large as a batch of the writer.
ROUND: Final = 1000


class Sweeper:
    """Sweeps at an interval; the database lets one replica at a time do it. `on_commit` hears the new head."""

    def __init__(self, line: Line, on_commit: Callable[[int], None], *, interval: float) -> None:
        self._line, self._on_commit, self._interval = line, on_commit, interval

    async def run(self) -> None:
        """Sweeps until it is cancelled."""
        try:
            while True:
                if not await self._sweep():
                    await asyncio.sleep(self._interval)
        finally:
            self._line.drop()

    async def _sweep(self) -> bool:
        try:
            connection = await self._line.get()
            head = await connection.fetchval(SQL["expire"], ROUND)
        except UNAVAILABLE:
            self._line.drop()
            return False
        if head is not None:
            self._on_commit(head)
        return head is not None
