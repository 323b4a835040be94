"""Past signals: a log as the service writes it, or millions of signals made by SQL."""

from __future__ import annotations

import asyncio

import asyncpg

from ai_grpc.exchange.checks import publication
from benchmarks import ceilings
from benchmarks.load import a_signal
from benchmarks.stage import A_MODEL

INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE schemaname = 'ai_trading' AND tablename = 'ai_signals' AND indexname <> 'ai_signals_pkey'
"""
MODELS = """
INSERT INTO ai_trading.ai_models (model_name, version, model_type)
SELECT 'past ' || n, '1', 'sparse_spectrum' FROM generate_series(0, 9) AS n
"""
# $4 is what the encoded signal has after its id: as long as that of a real one, and read by nobody here.
SIGNALS = """
INSERT INTO ai_trading.ai_signals (
  signal_id, model_id, symbol, signal_type, confidence, price_target, stop_loss, take_profit, reference_price,
  signal_timestamp, market_data_timestamp, metadata, message, sequence, created_at, updated_at
)
SELECT
  signal_id, (SELECT array_agg(model_id) FROM ai_trading.ai_models)[1 + n % 10],
  'SYMBOL' || n % 50, (ARRAY['BUY', 'SELL', 'HOLD'])[1 + n % 3], n % 10000 / 10000.0, 1.2345, 1.2, 1.3, 1.22,
  time, time, '{"rsi": 31, "generation": 12}', '\\x0a24'::bytea || convert_to(signal_id::text, 'UTF8') || $4, n,
  time, time
FROM generate_series($1::bigint, $2::bigint) AS n,
  LATERAL (SELECT ($3 - n) * INTERVAL '10 ms' AS ago) AS a,
  LATERAL (SELECT uuidv7(-ago) AS signal_id, now() - ago AS time) AS made
"""
LOG = """
INSERT INTO ai_trading.signal_log (sequence, signal_id, kind, commit_time)
SELECT sequence, signal_id, 'PUBLISHED', created_at FROM ai_trading.ai_signals
"""
# What time would have done.
TIDY = (
    "VACUUM (FREEZE, ANALYZE) ai_trading.ai_signals",
    "VACUUM (FREEZE, ANALYZE) ai_trading.signal_log",
    "CHECKPOINT",
)
BATCH = 1000
WORKERS = 2
# The models are there: nobody needs to look for them ten million times.
FAST = {"maintenance_work_mem": "512MB", "session_replication_role": "replica"}


async def append(dsn: str, count: int) -> None:
    """Appends at least `count` signals to the log, as the service does."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "ai_trading"})
    try:
        model_id = await connection.fetchval(A_MODEL, "past")
        for _ in range(0, count, BATCH):
            await ceilings.append(connection, publication([a_signal(model_id) for _ in range(BATCH)]).rows)
        for statement in TIDY:
            await connection.execute(statement)
    finally:
        await connection.close()


async def fill(dsn: str, count: int) -> None:
    """Fills the empty tables with `count` ACTIVE signals that do not expire, indexes last."""
    connection = await asyncpg.connect(dsn, server_settings=FAST)
    try:
        await connection.execute(MODELS)
        indexes = await connection.fetch(INDEXES)
        for name, _ in indexes:
            await connection.execute(f"DROP INDEX ai_trading.{name}")
        rest = a_signal(await connection.fetchval("SELECT model_id::text FROM ai_trading.ai_models LIMIT 1"))
        rest.ClearField("signal_id")
        parts = [(count * n // WORKERS + 1, count * (n + 1) // WORKERS) for n in range(WORKERS)]
        await _together(dsn, [(SIGNALS, *part, count, rest.SerializeToString()) for part in parts])
        await _together(dsn, [(LOG,), *((definition,) for _, definition in indexes)])
        await _together(dsn, [(statement,) for statement in TIDY])
    finally:
        await connection.close()


async def _together(dsn: str, statements: list[tuple[object, ...]]) -> None:
    """Runs the statements, as many at a time as there are workers."""
    left = iter(statements)

    async def work() -> None:
        connection = await asyncpg.connect(dsn, server_settings=FAST)
        try:
            for statement, *arguments in left:
                await connection.execute(str(statement), *arguments)
        finally:
            await connection.close()

    async with asyncio.TaskGroup() as workers:
        for _ in range(WORKERS):
            workers.create_task(work())
