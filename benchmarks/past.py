"""A past of millions of rows, made as fast as PostgreSQL can: on two connections, without a log, indexes last."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import asyncpg

from benchmarks.stage import Stage
from benchmarks.stored import FILLING, configure
from tests import filling

WORKERS: Final = 2
FAST: Final = {**filling.TRUSTING, "maintenance_work_mem": "512MB"}
# Those that no constraint has made.
INDEXES: Final = """
SELECT format('DROP INDEX %I', i.indexname), replace(i.indexdef, ' ON ONLY ', ' ON ')
FROM pg_indexes AS i
WHERE i.schemaname = 'ai_trading' AND i.tablename = ANY ($1::text[])
  AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = format('ai_trading.%I', i.indexname)::regclass)
"""

Statement = tuple[str, tuple[object, ...]]


async def past(stage: Stage, sizes: dict[str, int], end: datetime) -> str:
    """A database with so many rows in its tables, on a server that is as the others are."""
    await configure(stage.cluster, [f"ALTER SYSTEM SET {setting}" for setting in FILLING])
    dsn = await stage.database()
    await _fill(dsn, sizes, end)
    await configure(stage.cluster, ["ALTER SYSTEM RESET ALL"])
    # Or the system would write it all to the disk while the reads are measured.
    await asyncio.to_thread(os.sync)
    return dsn


async def _fill(dsn: str, sizes: dict[str, int], end: datetime) -> None:
    started = time.monotonic()

    def say(what: str) -> None:
        print(f"  {time.monotonic() - started:4.0f} s  {what}", flush=True)

    connection = await asyncpg.connect(dsn, server_settings=FAST)
    try:
        await filling.make_feature_partitions(connection, end)
        indexes = await connection.fetch(INDEXES, list(sizes))
        for drop, _ in indexes:
            await connection.execute(drop)
        for table, size in sizes.items():
            # Signals lie in the order of their sequence, as they are appended; of that depends how lists are planned.
            workers = 1 if table in ("ai_signals", "signal_log") else WORKERS
            await _together(dsn, filling.statements(table, sizes, end, workers))
            say(f"{size:,} rows in {table}")
        await _together(dsn, ((create, ()) for _, create in indexes))
        say(f"{len(indexes)} indexes")
        await _together(dsn, ((f"VACUUM (FREEZE, ANALYZE) {table}", ()) for table in sizes))
        # What is told about new rows comes after what was told about these.
        await connection.execute("UPDATE event_log_meta SET floor = $1", sizes["anomaly_detections"])
        say("vacuumed and analyzed")
    finally:
        await connection.close()


async def _together(dsn: str, statements: Iterable[Statement]) -> None:
    """Runs the statements, as many at a time as there are workers."""
    left = iter(statements)

    async def work() -> None:
        connection = await asyncpg.connect(dsn, server_settings=FAST)
        try:
            for statement, arguments in left:
                await connection.execute(statement, *arguments)
        finally:
            await connection.close()

    async with asyncio.TaskGroup() as workers:
        for _ in range(WORKERS):
            workers.create_task(work())
