"""The ceilings in PostgreSQL: the append function called directly, COPY, and a plain SELECT of the log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC
from decimal import Decimal

import asyncpg
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.db import json_of, load_queries
from ai_grpc.exchange.checks import Row, publication
from ai_grpc.exchange.log import SIGNALS
from ai_grpc.exchange.submission import arguments_of
from ai_grpc.v1 import signals_pb2 as pb
from benchmarks.load import Call, settle, warm

APPEND = load_queries("log")["append"]
READ_EVENTS = load_queries("log")["read_events"]

SIGNAL_COLUMNS = (
    *("signal_id", "model_id", "symbol", "signal_type", "confidence", "price_target", "stop_loss", "take_profit"),
    *("reference_price", "signal_timestamp", "market_data_timestamp", "expires_at", "metadata", "message"),
    *("sequence", "created_at", "updated_at"),
)
LOG_COLUMNS = ("sequence", "signal_id", "kind", "commit_time")


async def append_seconds(
    connection: asyncpg.Connection, batches: Sequence[Sequence[pb.Signal]], before: Call | None = None
) -> list[float]:
    """How long each direct call of the append function takes, from rows that are ready.

    For a latency, something else is done `before` each of them: back to back, the database would answer from warmer
    caches than it ever does for a service.
    """
    ready = [publication(batch).rows for batch in batches]
    settle()
    seconds = []
    for rows in ready:
        if before:
            await before()
        started = time.perf_counter()
        await append(connection, rows)
        seconds.append(time.perf_counter() - started)
    return warm(seconds)


async def append(connection: asyncpg.Connection, rows: Sequence[Row]) -> None:
    """One call of the append function, for one request."""
    await connection.fetch(APPEND, *arguments_of([0] * len(rows), rows))


async def copy_seconds(connection: asyncpg.Connection, signals: Sequence[pb.Signal]) -> float:
    """How long COPY of the signals into the two tables takes, in one transaction, from rows that are ready."""
    head = await connection.fetchval("SELECT coalesce(max(sequence), 0) FROM signal_log")
    now = _time(signals[0].signal_time)
    rows = [(*_row(signal), sequence, now, now) for sequence, signal in enumerate(signals, head + 1)]
    log = [(row[-3], row[0], "PUBLISHED", now) for row in rows]
    settle()
    started = time.perf_counter()
    async with connection.transaction():
        await connection.copy_records_to_table("ai_signals", records=rows, columns=SIGNAL_COLUMNS)
        await connection.copy_records_to_table("signal_log", records=log, columns=LOG_COLUMNS)
    return time.perf_counter() - started


async def select_seconds(connection: asyncpg.Connection, events: int, page: int) -> float:
    """How long it takes to fetch that many events of the log, page by page, with the SQL of the service."""
    settle()
    started, count = time.perf_counter(), 0
    for after in range(0, events, page):
        count += len(await connection.fetch(READ_EVENTS, after, events, *SIGNALS.everything.parameters, page))
    seconds = time.perf_counter() - started
    if count != events:
        raise RuntimeError(f"{count} of {events} events were read")
    return seconds


def _row(signal: pb.Signal) -> tuple[object, ...]:
    prices = (signal.price_target, signal.stop_loss, signal.take_profit, signal.reference_price)
    times = (signal.signal_time, signal.market_data_time, signal.expire_time)
    return (
        *(signal.signal_id, signal.model_id, signal.symbol, "BUY", Decimal(str(signal.confidence))),
        *(Decimal(price) for price in prices),
        *(_time(time) for time in times),
        json_of(signal.metadata),
        signal.SerializeToString(),
    )


def _time(timestamp: Timestamp) -> object:
    return timestamp.ToDatetime(UTC)
