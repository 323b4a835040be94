"""What the database holds in the end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from tests.chaos.history import History
from tests.chaos.ledgers import Ledger, entry_of_row, row_of

READ_SECONDS: Final = 120


async def read_log(history: History, ledger: Ledger, url: str) -> None:
    """Completes the history with the log and the tables that it is about, as of one moment."""
    async with one_moment(url) as connection:
        history.epoch, history.floor, history.head = await connection.fetchrow(ledger.state)
        history.log = [entry_of_row(row) async for row in connection.cursor(ledger.log, 0)]
        history.rows = [row_of(row) async for row in connection.cursor(ledger.rows)]


@asynccontextmanager
async def one_moment(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that sees the database as it is now."""
    connection = await asyncpg.connect(url, timeout=10, command_timeout=READ_SECONDS)
    try:
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
    finally:
        await connection.close(timeout=10)
