"""Other users of the same database, who take their time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from random import Random
from typing import Final

import asyncpg

from tests.chaos.arena import Arena
from tests.chaos.faults import Part, fault
from tests.chaos.ledgers import LEDGERS
from tests.chaos.nouns import ANOMALY
from tests.chaos.sql_writers import INSERT, rows_of
from tests.faults.database import administrator as connected

ORDERS: Final = "CREATE TABLE IF NOT EXISTS public.orders (id BIGINT GENERATED ALWAYS AS IDENTITY, note TEXT)"
ORDER: Final = "INSERT INTO public.orders (note) VALUES ('long')"
OTHER: Final = "chaos_other"
LOCK_WAIT: Final = "SET lock_timeout = '3s'"


@fault("F10", Part.DATABASE)
async def foreign_transactions(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """Transactions of others stay open: a writer here, one in another database, an idle reader, and a listener."""
    async with AsyncExitStack() as stack:
        await open_foreign_transactions(arena, stack)
        yield


async def open_foreign_transactions(arena: Arena, stack: AsyncExitStack) -> None:
    """Opens them until the stack is left."""
    await arena.ask(ORDERS)
    with suppress(asyncpg.DuplicateDatabaseError):
        await arena.ask(f"CREATE DATABASE {OTHER}")
    await arena.ask(ORDERS, OTHER)
    for database, *statement in (
        ("postgres", ORDER),
        (OTHER, ORDER),
        ("postgres", "SELECT count(*) FROM ai_trading.signal_log"),
        # Nobody may hear of it, for it is rolled back.
        ("postgres", INSERT, rows_of(arena.make(ANOMALY)(Random(), 1))),
        *(("postgres", f"LISTEN {ledger.channel}") for ledger in LEDGERS),
    ):
        connection = await stack.enter_async_context(connected(arena.cluster.url(database)))
        await connection.execute("LISTEN ai_trading_signals")
        transaction = connection.transaction(isolation="repeatable_read")
        await transaction.start()
        stack.push_async_callback(_roll_back, transaction)
        await connection.execute(*statement)


async def _roll_back(transaction: asyncpg.transaction.Transaction) -> None:
    # The database may have ended it.
    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        await transaction.rollback()


@fault("F11", Part.DATABASE)
async def locked(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """Somebody holds the lock of a log, or has a table for himself."""
    ledger = rng.choice(LEDGERS)
    async with arena.admin() as admin:
        if rng.random() < 0.4:
            arena.variants[f"F11 lock of the {ledger.name}"] += 1
            await admin.execute(ledger.lock)
            yield
            await admin.execute(ledger.unlock)
            return
        table = rng.choice(ledger.tables)
        arena.variants[f"F11 {table}"] += 1
        async with admin.transaction():
            await _lock(admin, table)
            yield


async def _lock(admin: asyncpg.Connection, table: str) -> None:
    for _ in range(3):
        try:
            async with admin.transaction():
                await admin.execute(LOCK_WAIT)
                await admin.execute(f"LOCK TABLE ai_trading.{table} IN ACCESS EXCLUSIVE MODE")
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(0.1)
        else:
            return
