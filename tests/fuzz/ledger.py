"""Nothing of a refused request may be in the database."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import asyncpg

from tests.faults.database import until
from tests.fuzz.inputs import Input

UUID: Final = re.compile(rb"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
TABLES: Final = (
    "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'ai_trading' ORDER BY 1"
)
STORED: Final = """
SELECT DISTINCT lower(found.id[1]) FROM {table} AS t,
  regexp_matches(t::text, '[0-9a-fA-F]{{8}}(?:-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}}', 'g') AS found (id)
"""
SUM: Final = "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM {table} AS t"
TRANSACTIONS: Final = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
# Signals that expire change the tables without any request.
DUE: Final = "SELECT count(*) FROM ai_trading.ai_signals WHERE status = 'ACTIVE' AND expires_at < now()"


class Snapshot(NamedTuple):
    """How many transactions had written, and a number for each table that is another if any row is."""

    transactions: int
    sums: list[tuple[object, ...]]


class Ledger:
    """Which UUIDs came in refused messages only. Each input has some of its own, in ids and in texts."""

    def __init__(self, admin: asyncpg.Connection) -> None:
        self._admin = admin
        self._accepted: set[bytes] = set()
        self._refused: dict[bytes, int] = {}

    def note(self, number: int, sent: Input, refused: frozenset[int]) -> None:
        """Remembers an input and what became of its messages. One of unknown outcome may have been written."""
        for place, message in enumerate(sent.messages):
            marks = (mark.lower() for mark in UUID.findall(message))
            if place in refused:
                self._refused.update(dict.fromkeys(marks, number))
            else:
                self._accepted.update(marks)

    async def begin(self) -> None:
        """What is in the tables by now was not brought by any input."""
        self._accepted |= await self._stored()

    async def written(self) -> list[int]:
        """The numbers of inputs that were refused and of which something is in a table nevertheless."""
        marks = (await self._stored() & self._refused.keys()) - self._accepted
        return sorted({self._refused[mark] for mark in marks})

    async def _stored(self) -> set[bytes]:
        stored: set[bytes] = set()
        for (table,) in await self._admin.fetch(TABLES):
            stored.update(row[0].encode() for row in await self._admin.fetch(STORED.format(table=table)))
        return stored


class Watch:
    """Whether an input that is sent while nothing else goes on changes a table."""

    def __init__(self, admin: asyncpg.Connection) -> None:
        self._admin = admin

    async def snapshot(self) -> Snapshot:
        """What the tables hold, once no signal is due to expire."""
        await until(self._admin, DUE, 0)
        tables = [table for (table,) in await self._admin.fetch(TABLES)]
        sums = [tuple(row) for table in tables for row in await self._admin.fetch(SUM.format(table=table))]
        return Snapshot(await self._admin.fetchval(TRANSACTIONS), sums)

    async def has_changed(self, before: Snapshot) -> bool:
        """Whether the tables hold something else. If no transaction has written since, there is no need to look."""
        if await self._admin.fetchval(TRANSACTIONS) == before.transactions:
            return False
        return (await self.snapshot()).sums != before.sums
