"""What made-up histories are about, one subject for each log."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Sequence
from random import Random
from typing import Final, NamedTuple

from google.protobuf.message import Message

from ai_grpc.v1 import anomalies_pb2, optimization_pb2, signals_pb2
from tests.anomalies import an_anomaly
from tests.signals import a_signal

MODEL: Final = str(uuid.UUID(int=1))
SYMBOLS: Final = ("AAPL", "MSFT")
TYPES: Final = (signals_pb2.SIGNAL_TYPE_BUY, signals_pb2.SIGNAL_TYPE_SELL)
GENERATIONS: Final = 0.3


class Subject(NamedTuple):
    """How to make so many items of one kind, by what events they end, and who reads of them, the first from `current`.

    `named` is whether answers name sequences; of the kinds in `unplaced` no table keeps the place.
    """

    make: Callable[[Random, int], Sequence[Message]]
    states: tuple[str, str]
    filters: Sequence[Message]
    named: bool
    unplaced: Collection[str]


def _signals(rng: Random, count: int) -> list[signals_pb2.Signal]:
    return [
        a_signal(
            MODEL,
            signal_id=_an_id(rng),
            symbol=rng.choice(SYMBOLS),
            signal_type=rng.choice(TYPES),
            confidence=round(rng.random(), 4),
        )
        for _ in range(count)
    ]


def _anomalies_or_a_generation(rng: Random, count: int) -> Sequence[Message]:
    if rng.random() < GENERATIONS:
        return [optimization_pb2.Generation(run_id=_an_id(rng), model_id=MODEL, best_fitness=rng.random())]
    return [
        an_anomaly(MODEL, anomaly_id=_an_id(rng), symbol=rng.choice(SYMBOLS), severity_score=rng.uniform(0, 9))
        for _ in range(count)
    ]


def _an_id(rng: Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128)))


SIGNALS: Final = Subject(
    _signals,
    ("EXECUTED", "CANCELLED"),
    (
        signals_pb2.SignalFilter(),
        signals_pb2.SignalFilter(symbols=["AAPL"]),
        signals_pb2.SignalFilter(min_confidence=0.5, signal_types=[signals_pb2.SIGNAL_TYPE_BUY]),
        signals_pb2.SignalFilter(kinds=[signals_pb2.SignalEvent.KIND_EXECUTED, signals_pb2.SignalEvent.KIND_PUBLISHED]),
    ),
    named=True,
    unplaced=(),
)
EVENTS: Final = Subject(
    _anomalies_or_a_generation,
    ("RESOLVED by one", "RESOLVED by the other"),
    (
        anomalies_pb2.AnomalyFilter(),
        anomalies_pb2.AnomalyFilter(symbols=["AAPL"], min_severity=3),
        anomalies_pb2.AnomalyFilter(kinds=[anomalies_pb2.AnomalyEvent.KIND_RESOLVED]),
        optimization_pb2.GenerationFilter(),
    ),
    named=False,
    unplaced=("RECORDED",),
)
