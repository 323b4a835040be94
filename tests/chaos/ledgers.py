"""The logs as the database has them: what they hold, what they are about, and who takes their locks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from google.protobuf.json_format import ParseDict

from tests.chaos.history import Entry, Row
from tests.chaos.nouns import ANOMALY, GENERATION, SIGNAL, Noun, content_of, kind_of, noun_of_kind

ACQUIRE: Final = "SELECT pg_advisory_lock(4711001, {})"
RELEASE: Final = "SELECT pg_advisory_unlock(4711001, {})"


class Ledger(NamedTuple):
    """A log in SQL. `state` gives epoch, floor and head, `log` the entries after a sequence, `rows` what it is about.

    `trim` takes the oldest share of the log away; `waiting` are the backends that wait for its lock.
    """

    name: str
    channel: str
    head: str
    state: str
    log: str
    rows: str
    trim: str
    lock: str
    unlock: str
    waiting: str
    tables: Sequence[str]
    nouns: Sequence[Noun]


SIGNALS: Final = Ledger(
    "signal log",
    "ai_trading_signals",
    "SELECT sequence FROM ai_trading.signal_log_head()",
    "SELECT m.epoch::text, m.floor, h.sequence FROM ai_trading.log_meta AS m, ai_trading.signal_log_head() AS h",
    """
    SELECT l.sequence AS log_sequence, l.kind AS log_kind, m.*
    FROM ai_trading.signal_log AS l
    JOIN ai_trading.ai_signals AS s ON s.signal_id = l.signal_id, ai_trading.signal_message(s) AS m
    WHERE l.sequence > $1 ORDER BY l.sequence
    """,
    """
    SELECT 'PUBLISHED' AS log_kind, s.sequence AS log_sequence, m.*
    FROM ai_trading.ai_signals AS s, ai_trading.signal_message(s) AS m
    """,
    """
    SELECT ai_trading.trim_signal_log((m.floor + (h.sequence - m.floor) * $1::float8)::bigint)
    FROM ai_trading.log_meta AS m, ai_trading.signal_log_head() AS h
    """,
    ACQUIRE.format(0),
    RELEASE.format(0),
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'ai_grpc append' AND wait_event_type = 'Lock'",
    ("ai_signals", "signal_log", "ai_models", "log_meta"),
    (SIGNAL,),
)
EVENTS: Final = Ledger(
    "event log",
    "ai_trading_events",
    "SELECT sequence FROM ai_trading.event_log_head()",
    "SELECT m.epoch::text, m.floor, h.sequence FROM ai_trading.event_log_meta AS m, ai_trading.event_log_head() AS h",
    "SELECT l.sequence, l.kind, l.content FROM ai_trading.event_log AS l WHERE l.sequence > $1 ORDER BY l.sequence",
    """
    SELECT 'REPORTED', coalesce(a.sequence, 0), to_jsonb(m) AS content
    FROM ai_trading.anomaly_detections AS a, ai_trading.anomaly_message(a) AS m
    UNION ALL
    SELECT 'RECORDED', NULL, to_jsonb(m)
    FROM ai_trading.optimization_generations AS g, ai_trading.generation_message(g) AS m
    """,
    """
    SELECT ai_trading.trim_event_log((
      SELECT l.commit_time FROM ai_trading.event_log AS l
      WHERE l.sequence <= m.floor + (h.sequence - m.floor) * $1::float8 ORDER BY l.sequence DESC LIMIT 1
    ))
    FROM ai_trading.event_log_meta AS m, ai_trading.event_log_head() AS h
    """,
    ACQUIRE.format(3),
    RELEASE.format(3),
    "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'advisory' "
    "AND application_name <> 'ai_grpc append'",
    ("anomaly_detections", "event_log", "optimization_runs", "event_log_meta"),
    (ANOMALY, GENERATION),
)
LEDGERS: Final = (SIGNALS, EVENTS)


def entry_of_row(row: Any) -> Entry:
    """One of the `log`."""
    sequence, kind, *_ = row
    noun, said = noun_of_kind(kind), _message(kind, row)
    return Entry(sequence, kind_of(kind, said), noun.key(said), content_of(said), said)


def row_of(row: Any) -> Row:
    """One of the `rows`."""
    kind, place, *_ = row
    noun, said = noun_of_kind(kind), _message(kind, row)
    return Row(kind, noun.key(said), place, content_of(said))


def _message(kind: str, row: Any) -> Any:
    """The message in the columns that follow the first two, or in the one that has it as JSON."""
    message = noun_of_kind(kind).message
    _, _, *columns = row.items()
    return ParseDict(row["content"], message()) if "content" in row else message(**dict(columns))
