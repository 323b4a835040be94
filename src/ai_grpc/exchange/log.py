"""Reading the log from PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import asyncpg

from ai_grpc.db import load_queries
from ai_grpc.errors import OutOfRange
from ai_grpc.exchange.events import Event, event_of
from ai_grpc.v1 import errors_pb2

SQL = load_queries("log")

# Encoding a page keeps the event loop from all else for as long as it takes: 256 events are about 3 ms.
PAGE: Final = 256
ACQUIRE_TIMEOUT: Final = 5.0


class LogBroken(Exception):
    """The log has a hole, or went backwards: a replica that went on would lose signals."""


class LogReader:
    """Reads pages of the log over a bounded pool. All methods raise one of db.UNAVAILABLE when it does not answer."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def events(self, after: int, through: int) -> list[Event]:
        """All events with `after` < sequence <= `through`. Raises OutOfRange if the log no longer has them all."""
        async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
            return await read_events(connection, after, through)

    async def active(self, after: int, through: int) -> list[Event]:
        """At most PAGE of the signals published in that range that are ACTIVE, as their PUBLISHED events."""
        async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
            rows = await connection.fetch(SQL["read_active"], after, through, PAGE)
        return [event_of(row) for row in rows]

    async def position_at(self, time: datetime) -> int:
        """The last sequence committed at or before the time."""
        async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
            return int(await connection.fetchval(SQL["position_at"], time))


async def read_events(connection: asyncpg.Connection, after: int, through: int) -> list[Event]:
    """As LogReader.events. Raises LogBroken if a sequence is missing that should be there."""
    rows = await connection.fetch(SQL["read_events"], after, through)
    if [row["sequence"] for row in rows] == list(range(after + 1, through + 1)):
        return [event_of(row) for row in rows]
    # Read after the rows: retention raises the floor in the transaction that deletes.
    floor = await connection.fetchval(SQL["floor"])
    if after < floor:
        raise position_expired(floor)
    raise LogBroken(f"the log has a hole between {after} and {through}")


def position_expired(floor: int) -> OutOfRange:
    """The position lies below the floor."""
    return OutOfRange(
        errors_pb2.ERROR_REASON_POSITION_EXPIRED,
        f"the log begins after {floor}; start there or with current",
        floor=floor,
    )
