"""The tail: one per process, on the primary. It brings every event of the log to the feed, in order, without a hole."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg

from ai_grpc.db import UNAVAILABLE, Line
from ai_grpc.errors import OutOfRange
from ai_grpc.exchange.entries import Entry, Log
from ai_grpc.exchange.feed import Feed
from ai_grpc.exchange.log import LogBroken, read_events

RETRY_WAIT: Final = 0.25

# The first read of a round is the probe of the connection: a server that is gone without a word is found out by it.
PROBE_TIMEOUT: Final = 3.0

logger = logging.getLogger(__name__)


class Tail:
    """Follows the log: takes over this process's own commits, is woken by the others', and polls in any case.

    `on_database(up)` hears whether the database answers. `alone` is True while no other replica follows the log, as it
    was a poll interval ago.
    """

    def __init__(
        self, log: Log, line: Line, feed: Feed, on_database: Callable[[bool], None], *, poll_interval: float
    ) -> None:
        self._log, self._line, self._feed = log, line, feed
        self._on_database, self._poll_interval = on_database, poll_interval
        self._woken = asyncio.Event()
        self.alone = False

    def offer(self, events: Sequence[Entry]) -> None:
        """Takes a commit of this process without reading it, if nothing is missing before it."""
        if events[0].sequence == self._feed.head + 1:
            self._feed.extend(events)
        else:
            self.wake()

    def wake(self) -> None:
        """Reads now instead of at the next poll."""
        self._woken.set()

    async def begin(self) -> None:
        """Starts the feed at the head of the log. Raises one of db.UNAVAILABLE."""
        await self._read(await self._line.get())

    async def run(self) -> None:
        """Follows the log until it is cancelled. Raises LogBroken."""
        try:
            while True:
                try:
                    await self._follow()
                except UNAVAILABLE as error:
                    logger.warning("the database does not answer: %s", error or type(error).__name__)
                    self._on_database(False)
                    self.alone = False
                    self._line.drop()
                    await asyncio.sleep(RETRY_WAIT)
        finally:
            self._line.drop()

    async def _follow(self) -> None:
        connection = await self._line.get()
        await connection.add_listener(self._log.channel, self._on_notify)
        await connection.execute(self._log.queries["join_replicas"])
        self._on_database(True)
        now, looked = asyncio.get_running_loop().time, 0.0
        while True:
            # Cleared before reading: what is committed later wakes the next round.
            self._woken.clear()
            await self._read(connection)
            if now() >= looked + self._poll_interval:
                self.alone, looked = await connection.fetchval(self._log.queries["is_alone"]), now()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_interval):
                    await self._woken.wait()

    def _on_notify(self, _connection: Any, _pid: int, _channel: str, head: object) -> None:
        # Who begins says so, with 0.
        self.alone = False
        if int(str(head)) > self._feed.head:
            self.wake()

    async def _read(self, connection: asyncpg.Connection) -> None:
        feed, known = self._feed, self._feed.head
        state = await connection.fetchrow(self._log.queries["log_state"], timeout=PROBE_TIMEOUT)
        epoch, floor, head = state["epoch"], state["floor"], state["head"]
        if epoch != feed.epoch or floor > known:
            feed.begin(epoch, floor, head)
        elif head < known:
            raise LogBroken(f"the log went back from {known} to {head}: after a restore, run ai-grpc db new-epoch")
        feed.floor = floor
        while feed.head < head:
            try:
                events, _ = await read_events(connection, self._log, feed.head, head, self._log.everything)
            except OutOfRange:
                # Retention overtook this replica: the next round begins at the floor.
                return
            # An own commit may have come in while this page was read.
            feed.extend([event for event in events if event.sequence > feed.head])
