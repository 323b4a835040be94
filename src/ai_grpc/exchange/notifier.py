"""Wakes the other replicas: a coalesced NOTIFY on a connection of its own, for in the write transaction it would
serialise the commits of the whole cluster."""

from __future__ import annotations

import asyncio

from ai_grpc.db import UNAVAILABLE, Line
from ai_grpc.exchange.entries import Log


class Notifier:
    """Sends the head of the log, at most one notification in flight. One that is lost costs the others a poll."""

    def __init__(self, log: Log, line: Line) -> None:
        self._log, self._line = log, line
        self._head = 0
        self._woken = asyncio.Event()

    def wake(self, head: int) -> None:
        """The log has grown to this head."""
        self._head = max(self._head, head)
        self._woken.set()

    async def run(self) -> None:
        """Notifies until it is cancelled."""
        try:
            while True:
                await self._woken.wait()
                self._woken.clear()
                await self._notify()
        finally:
            self._line.drop()

    async def _notify(self) -> None:
        try:
            connection = await self._line.get()
            await connection.fetch(self._log.queries["notify"], str(self._head))
        except UNAVAILABLE:
            self._line.drop()
