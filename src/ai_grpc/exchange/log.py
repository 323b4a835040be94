"""Reading the log from PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg

from ai_grpc.db import ACQUIRE_TIMEOUT, load_queries
from ai_grpc.errors import OutOfRange
from ai_grpc.exchange.entries import Entry, Log, Selection
from ai_grpc.exchange.events import EventFilter, event_of
from ai_grpc.v1 import errors_pb2
from ai_grpc.v1 import signals_pb2 as pb

# Making a page keeps the event loop from all else for as long as it takes: 1000 events are about 3 ms.
PAGE: Final = 1000
# A filter that few events pass shall not keep a connection for long.
RANGE: Final = 10_000

SIGNALS: Final = Log(load_queries("log"), "ai_trading_signals", event_of, EventFilter(pb.SignalFilter()))

# Entries in order, and the sequence up to which they are all.
Page = tuple[list[Entry], int]


class LogBroken(Exception):
    """The log has a hole, or went backwards: a replica that went on would lose signals."""


class LogReader:
    """Reads pages of a log over a bounded pool. All methods raise one of db.UNAVAILABLE when it does not answer."""

    def __init__(self, log: Log, pool: asyncpg.Pool) -> None:
        self._log, self._pool = log, pool

    async def events(self, after: int, through: int, wanted: Selection) -> Page:
        """The next matching events with `after` < sequence <= `through`, at most PAGE. Raises OutOfRange if the log no
        longer has them all."""
        async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
            return await read_events(connection, self._log, after, min(through, after + RANGE), wanted)

    async def active(self, after: int, through: int, wanted: Selection) -> Page:
        """The next matching signals published in that range that are ACTIVE, at most PAGE, as PUBLISHED events."""
        async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
            rows = await connection.fetch(self._log.queries["read_active"], after, through, *wanted.parameters, PAGE)
            return _page(self._log, rows, through)

    async def position_at(self, time: datetime) -> int:
        """The last sequence committed at or before the time."""
        async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
            return int(await connection.fetchval(self._log.queries["position_at"], time))


class Replay:
    """The log for one subscriber, page by page: while one is sent, the next is read."""

    def __init__(self, log: LogReader, wanted: Selection) -> None:
        self._log, self._wanted = log, wanted
        self._ahead: tuple[int, asyncio.Task[Page]] | None = None

    async def events(self, after: int, through: int) -> Page:
        """As LogReader.events."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead[0] != after:
            ahead = after, self._read(after, through)
        events, end = await ahead[1]
        if end < through:
            self._ahead = end, self._read(end, through)
        return events, end

    def close(self) -> None:
        """Gives up what is being read."""
        if self._ahead is not None:
            self._ahead[1].cancel()

    def _read(self, after: int, through: int) -> asyncio.Task[Page]:
        task = asyncio.create_task(self._log.events(after, through, self._wanted))
        # Nobody takes the exception of a page that is not asked for any more.
        task.add_done_callback(lambda read: read.cancelled() or read.exception())
        return task


async def read_events(connection: asyncpg.Connection, log: Log, after: int, through: int, wanted: Selection) -> Page:
    """As LogReader.events. Raises LogBroken if a sequence is missing that should be there."""
    rows = await connection.fetch(log.queries["read_events"], after, through, *wanted.parameters, PAGE)
    events, end = _page(log, rows, through)
    if len(events) == end - after:
        return events, end
    # After the events: retention raises the floor in the transaction that deletes.
    floor, count = await connection.fetchrow(log.queries["check_range"], after, end)
    if after < floor:
        raise position_expired(floor)
    if count != end - after or wanted is log.everything:
        raise LogBroken(f"the log has a hole between {after} and {end}")
    return events, end


def _page(log: Log, rows: Sequence[Any], through: int) -> Page:
    events = [log.entry_of(row) for row in rows]
    return events, events[-1].sequence if len(events) == PAGE else through


def position_expired(floor: int) -> OutOfRange:
    """The position lies below the floor."""
    return OutOfRange(
        errors_pb2.ERROR_REASON_POSITION_EXPIRED,
        f"the log begins after {floor}; start there or with current",
        floor=floor,
    )
