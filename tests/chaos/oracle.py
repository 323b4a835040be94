"""What the database holds in the end."""

from __future__ import annotations

import json
from typing import Any, Final

import asyncpg

from ai_grpc.v1 import signals_pb2 as pb
from tests.chaos.history import Entry, History, content_of

STATE: Final = """
SELECT m.epoch::text, m.floor, h.sequence FROM ai_trading.log_meta AS m, ai_trading.signal_log_head() AS h
"""
LOG: Final = """
SELECT l.sequence AS log_sequence, l.kind AS log_kind, m.*
FROM ai_trading.signal_log AS l
JOIN ai_trading.ai_signals AS s ON s.signal_id = l.signal_id, ai_trading.signal_message(s) AS m
ORDER BY l.sequence
"""
SIGNALS: Final = "SELECT signal_id::text, sequence FROM ai_trading.ai_signals"
READ_SECONDS: Final = 120


async def read_log(history: History, url: str) -> None:
    """Completes the history with the log and the table of signals, as of one moment."""
    connection = await asyncpg.connect(url, timeout=10, command_timeout=READ_SECONDS)
    try:
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            history.epoch, history.floor, history.head = await connection.fetchrow(STATE)
            history.log = [_entry(dict(row)) async for row in connection.cursor(LOG)]
            history.signals = [(row[0], row[1]) for row in await connection.fetch(SIGNALS)]
    finally:
        await connection.close(timeout=10)


def _entry(row: dict[str, Any]) -> Entry:
    sequence, kind = row.pop("log_sequence"), row.pop("log_kind")
    signal = pb.Signal(**row)
    return Entry(
        sequence,
        kind,
        signal.signal_id,
        content_of(signal),
        signal.symbol,
        signal.model_id,
        pb.SignalType.Name(signal.signal_type).removeprefix("SIGNAL_TYPE_"),
        signal.confidence,
    )
