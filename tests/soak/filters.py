"""What the subscribers want, and how many events of the log that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from ai_grpc.v1 import signals_pb2 as pb
from tests.load import SYMBOLS

BUY: Final = [pb.SIGNAL_TYPE_BUY]
ENDS: Final = [pb.SignalEvent.KIND_EXECUTED, pb.SignalEvent.KIND_CANCELLED, pb.SignalEvent.KIND_EXPIRED]
KINDS: Final = 10

DUE: Final = """
SELECT count(*), coalesce(sum(l.sequence), 0)::bigint
FROM ai_trading.signal_log AS l
JOIN ai_trading.ai_signals AS s USING (signal_id)
WHERE l.sequence <= $1
  AND (cardinality($2::text[]) = 0 OR s.symbol = ANY ($2))
  AND (cardinality($3::uuid[]) = 0 OR s.model_id = ANY ($3))
  AND (cardinality($4::text[]) = 0 OR 'SIGNAL_TYPE_' || s.signal_type = ANY ($4))
  AND s.confidence >= $5::float8::numeric(5, 4)
  AND (cardinality($6::text[]) = 0 OR 'KIND_' || l.kind = ANY ($6))
"""


class Total(NamedTuple):
    """How many events, and the sum of their sequences: alike for two sets of which one holds the other only if the sets
    are."""

    events: int
    sum_of_sequences: int


def filter_of(number: int, model_ids: Sequence[str]) -> pb.SignalFilter:
    """What a subscriber with this number wants; every KINDS-th wants everything."""
    return [
        pb.SignalFilter(),
        pb.SignalFilter(symbols=SYMBOLS[:1]),
        pb.SignalFilter(symbols=SYMBOLS[1:3]),
        pb.SignalFilter(model_ids=model_ids[:1]),
        pb.SignalFilter(signal_types=BUY),
        pb.SignalFilter(min_confidence=0.9),
        pb.SignalFilter(kinds=ENDS),
        pb.SignalFilter(symbols=SYMBOLS[:1], min_confidence=0.5),
        pb.SignalFilter(model_ids=model_ids[1:], signal_types=BUY),
        pb.SignalFilter(symbols=SYMBOLS[3:], kinds=[pb.SignalEvent.KIND_PUBLISHED]),
    ][number % KINDS]


async def due(admin: asyncpg.Connection, through: int, wanted: pb.SignalFilter) -> Total:
    """What somebody with this filter is to be given of the log up to a sequence."""
    row = await admin.fetchrow(
        DUE,
        through,
        list(wanted.symbols),
        list(wanted.model_ids),
        [pb.SignalType.Name(value) for value in wanted.signal_types],
        wanted.min_confidence,
        [pb.SignalEvent.Kind.Name(value) for value in wanted.kinds],
        timeout=300,
    )
    return Total(*row)
