"""Section stored: acknowledgements with millions of signals stored, against those of an empty table."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from benchmarks.history import fill
from benchmarks.latency import stream_seconds, unary_call
from benchmarks.load import Call, one_by_one
from benchmarks.stage import Stage
from tests.cluster import Cluster

# While the past is made up, nothing of it is worth a write-ahead log.
FILLING = ("fsync = off", "wal_level = minimal", "max_wal_senders = 0", "max_wal_size = '16GB'", "autovacuum = off")


@asynccontextmanager
async def stored(stage: Stage) -> AsyncIterator[Call]:
    """Unary and stream, one in flight, on two servers in turn, each with a PostgreSQL of its own."""
    count = max(50, int(250 * stage.scale.seconds))
    with Cluster() as full, Cluster() as empty:
        dsn = await _filled(stage, full)
        async with (
            stage.exchange(dsn) as many,
            stage.exchange(await stage.database(empty)) as none,
        ):
            many.acked = stage.scale.history

            async def round() -> None:
                for name, exchange in (("none", none), ("many", many)):
                    acks = await one_by_one(unary_call(exchange.signals, exchange.model_id), count)
                    stage.figures.note_latency(f"unary ack, {name} stored", acks)
                    acks = await stream_seconds(exchange.signals, exchange.model_id, count)
                    stage.figures.note_latency(f"stream ack, {name} stored", acks)
                    exchange.acked += 2 * count

            yield round
            await many.check_stored()
            await none.check_stored()


async def _filled(stage: Stage, cluster: Cluster) -> str:
    """A database with that many signals, on a server that is as the others are."""
    started = time.monotonic()
    await configure(cluster, [f"ALTER SYSTEM SET {setting}" for setting in FILLING])
    dsn = await stage.database(cluster)
    await fill(dsn, stage.scale.history)
    await configure(cluster, ["ALTER SYSTEM RESET ALL"])
    # Or the system would write it all to the disk while the acknowledgements are measured.
    await asyncio.to_thread(os.sync)
    print(f"  {stage.scale.history:,} signals stored in {time.monotonic() - started:.0f} s", flush=True)
    return dsn


async def configure(cluster: Cluster, statements: list[str]) -> None:
    """Runs the statements as superuser, and starts the server again."""
    connection = await asyncpg.connect(cluster.url())
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
    cluster.stop()
    cluster.start()
