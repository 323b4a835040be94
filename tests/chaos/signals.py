"""Signals as the clients of a run publish them: in the form in which the service gives them back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from random import Random
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.client.publication import new_signal_id
from ai_grpc.v1 import signals_pb2 as pb
from tests.signals import a_signal, a_struct

SYMBOLS: Final = ("AAPL", "BTCUSDT", "EURUSD", "MSFT", "XAUUSD")
TYPES: Final = (pb.SIGNAL_TYPE_BUY, pb.SIGNAL_TYPE_SELL, pb.SIGNAL_TYPE_HOLD)
KINDS: Final = (pb.SignalEvent.KIND_PUBLISHED, pb.SignalEvent.KIND_EXECUTED, pb.SignalEvent.KIND_EXPIRED)
EXPIRING: Final = 0.05
TALKATIVE: Final = 0.1


def some_signals(model_ids: Sequence[str], rng: Random, count: int) -> list[pb.Signal]:
    """So many signals of all kinds, no two alike."""
    return [_signal(rng.choice(model_ids), rng) for _ in range(count)]


def a_filter(model_ids: Sequence[str], rng: Random) -> pb.SignalFilter:
    """What a subscriber may want; rarely nothing at all."""
    wanted = pb.SignalFilter()
    if rng.random() < 0.4:
        wanted.symbols.extend(rng.sample(SYMBOLS, rng.randint(1, 3)))
    if rng.random() < 0.3:
        wanted.model_ids.append(rng.choice(model_ids))
    if rng.random() < 0.3:
        wanted.signal_types.extend(rng.sample(TYPES, rng.randint(1, 2)))
    if rng.random() < 0.3:
        wanted.min_confidence = round(rng.random(), 1)
    if rng.random() < 0.3:
        wanted.kinds.extend(rng.sample(KINDS, rng.randint(1, 2)))
    return wanted


def _signal(model_id: str, rng: Random) -> pb.Signal:
    changes: dict[str, Any] = {
        "signal_id": new_signal_id(),
        "symbol": rng.choice(SYMBOLS),
        "signal_type": rng.choice(TYPES),
        "confidence": round(rng.random(), 4),
        "reference_price": str(rng.randrange(1, 10**9)),
    }
    if rng.random() < EXPIRING:
        expiry = Timestamp()
        expiry.FromMilliseconds(int((time.time() + rng.uniform(0, 3)) * 1000))
        changes["expire_time"] = expiry
    if rng.random() < TALKATIVE:
        changes["metadata"] = a_struct(note="x" * rng.randrange(2000), place=rng.randrange(10**6), deep={"known": True})
    return a_signal(model_id, **changes)
