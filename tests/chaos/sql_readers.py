"""A subscriber without a server: it polls a log by SQL for what comes after the last sequence that it has seen."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final

import asyncpg
from google.protobuf.message import Message as Protobuf

from tests.chaos.history import Message, Position, Seen, Stream
from tests.chaos.ledgers import Ledger, entry_of_row
from tests.chaos.matching import matcher
from tests.chaos.nouns import noun_of
from tests.chaos.oracle import one_moment
from tests.chaos.recording import Recording

PAUSE: Final = 0.1
LOST: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class SqlReader:
    """It misses an event for ever if a lower sequence becomes visible after a higher one. When retention overtakes it,
    it starts again at the earliest, under a new name."""

    def __init__(self, name: str, recording: Recording, ledger: Ledger, wanted: Protobuf, url: str) -> None:
        self.name, self.noun, self._recording = name, noun_of(wanted), recording
        self._ledger, self._wanted, self._url = ledger, wanted, url
        self._matches = matcher(wanted)
        self.taken: Position | None = None
        self._stream = Stream(name, "sql", 0.0, "earliest", None, wanted)

    async def run(self) -> None:
        """Looks again and again."""
        while True:
            # The next look finds what this one did not.
            with suppress(*LOST):
                await self._look()
            await asyncio.sleep(PAUSE)

    async def _look(self) -> None:
        async with one_moment(self._url) as connection:
            epoch, floor, head = await connection.fetchrow(self._ledger.state)
            if self.taken is None or self.taken.sequence < floor:
                self._begin(Position(epoch, floor))
            assert self.taken is not None
            rows = await connection.fetch(self._ledger.log, self.taken.sequence)
        entries = [entry for entry in map(entry_of_row, rows) if self._matches(entry)]
        if head > self.taken.sequence:
            events = tuple(Seen(entry.sequence, entry.kind, entry.key, entry.content) for entry in entries)
            self._note("batch" if events else "heartbeat", Position(epoch, head), events)

    def _begin(self, position: Position) -> None:
        name = f"{self.name}.{position.sequence}" if self.taken else self.name
        self._stream = Stream(name, "sql", time.monotonic(), "earliest", None, self._wanted)
        self._recording.opened(self._stream)
        self._note("started", position)

    def _note(self, what: str, position: Position, events: tuple[Seen, ...] = ()) -> None:
        self.taken = self._stream.taken = position
        self._recording.noted(self._stream, Message(time.monotonic(), what, position, events))
