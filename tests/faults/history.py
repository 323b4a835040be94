"""What happened, as PostgreSQL has it and as publishers and subscribers saw it, and whether these agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import asyncpg

from ai_grpc.v1 import signals_pb2 as pb

LOG: Final = """
SELECT l.sequence, 'KIND_' || l.kind, l.signal_id::text, s.symbol::text, s.model_id::text,
  'SIGNAL_TYPE_' || s.signal_type, s.confidence::float8, coalesce(trim_scale(s.reference_price)::text, '')
FROM ai_trading.signal_log AS l
JOIN ai_trading.ai_signals AS s USING (signal_id)
ORDER BY l.sequence
"""


class Entry(NamedTuple):
    """One event of the log, and of its signal what a filter looks at and what tells it from others."""

    sequence: int
    kind: pb.SignalEvent.Kind.ValueType
    signal_id: str
    symbol: str
    model_id: str
    signal_type: pb.SignalType.ValueType
    confidence: float
    reference_price: str


class Ack(NamedTuple):
    """A publication that was acknowledged: when it was sent, when that was known, and as which sequences."""

    called: float
    answered: float
    signals: Sequence[pb.Signal]
    sequences: Sequence[int]


def entry_of(event: pb.SignalEvent) -> Entry:
    """An event as a subscriber was given it."""
    return _entry(event.sequence, event.kind, event.signal)


async def the_log(dsn: str) -> list[Entry]:
    """The log as the tables have it."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        rows = await connection.fetch(LOG, timeout=60)
    finally:
        await connection.close(timeout=10)
    kind, signal_type = pb.SignalEvent.Kind.Value, pb.SignalType.Value
    return [Entry(row[0], kind(row[1]), row[2], row[3], row[4], signal_type(row[5]), row[6], row[7]) for row in rows]


def selected(log: Iterable[Entry], wanted: pb.SignalFilter) -> list[Entry]:
    """What a subscriber with this filter is to be given."""
    return [entry for entry in log if _is_wanted(entry, wanted)]


def check_log(log: Sequence[Entry]) -> None:
    """Dense from 1; each signal published once and ended at most once, in this order."""
    holes = [entry.sequence for place, entry in enumerate(log, 1) if entry.sequence != place]
    assert not holes, f"the log has a hole before {holes[0]}"
    lives: dict[str, list[pb.SignalEvent.Kind.ValueType]] = {}
    for entry in log:
        lives.setdefault(entry.signal_id, []).append(entry.kind)
    for signal_id, kinds in lives.items():
        assert kinds[0] == pb.SignalEvent.KIND_PUBLISHED, f"{signal_id} ended before it was published"
        assert len(kinds) <= 2, f"{signal_id} was published or ended twice: {kinds}"
        assert pb.SignalEvent.KIND_PUBLISHED not in kinds[1:], f"{signal_id} was published twice"


def check_acks(acks: Iterable[Ack], log: Sequence[Entry]) -> None:
    """Every acknowledged signal is in the log as it was sent, at the sequence that was acknowledged."""
    for ack in acks:
        assert len(ack.sequences) == len(ack.signals), f"{len(ack.signals)} signals have answers {ack.sequences}"
        for signal, sequence in zip(ack.signals, ack.sequences, strict=True):
            assert 1 <= sequence <= len(log), f"{sequence} was acknowledged and is not in the log"
            sent = _entry(sequence, pb.SignalEvent.KIND_PUBLISHED, signal)
            assert log[sequence - 1] == sent, f"{sent} was acknowledged, not {log[sequence - 1]}"


def check_real_time(acks: Iterable[Ack]) -> None:
    """What was acknowledged before something else was sent has the lower sequences."""
    moments = [(ack.called, 1, ack) for ack in acks] + [(ack.answered, 0, ack) for ack in acks]
    highest = 0
    for _, is_call, ack in sorted(moments, key=lambda moment: moment[:2]):
        if is_call:
            assert min(ack.sequences) > highest, f"{min(ack.sequences)} was sent after {highest} was acknowledged"
        else:
            highest = max(highest, *ack.sequences)


def check_delivery(given: Sequence[Entry], log: Sequence[Entry], wanted: pb.SignalFilter | None = None) -> None:
    """A subscriber was given every event of the log that it wanted, once, in order."""
    due = selected(log, wanted or pb.SignalFilter())
    for place, (entry, other) in enumerate(zip(given, due, strict=False)):
        assert entry == other, f"event {place} of {len(due)} is {entry}, not {other}"
    assert len(given) == len(due), f"{len(given)} events were delivered, not {len(due)}"


def _entry(sequence: int, kind: pb.SignalEvent.Kind.ValueType, signal: pb.Signal) -> Entry:
    return Entry(
        sequence,
        kind,
        signal.signal_id,
        signal.symbol,
        signal.model_id,
        signal.signal_type,
        signal.confidence,
        signal.reference_price,
    )


def _is_wanted(entry: Entry, wanted: pb.SignalFilter) -> bool:
    if wanted.symbols and entry.symbol not in wanted.symbols:
        return False
    if wanted.model_ids and entry.model_id not in wanted.model_ids:
        return False
    if wanted.signal_types and entry.signal_type not in wanted.signal_types:
        return False
    if wanted.kinds and entry.kind not in wanted.kinds:
        return False
    return entry.confidence >= wanted.min_confidence
