"""What a drill is about: one of the logs, who writes to it and how, and what its subscribers want."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message

from ai_grpc.v1 import anomalies_pb2, signals_pb2
from tests.chaos.bots import a_resolution, a_state
from tests.chaos.findings import some_anomalies
from tests.chaos.ledgers import EVENTS, SIGNALS, Ledger
from tests.chaos.nouns import ANOMALY, SIGNAL, Noun
from tests.chaos.signals import some_signals


class Load(NamedTuple):
    """`choosy` is a filter that few events pass; `tail` is the purpose of the connections that follow the log.

    Of a log that is written `by_sql` too, somebody does so.
    """

    ledger: Ledger
    noun: Noun
    make: Callable[[Sequence[str], Random, int], Sequence[Any]]
    ending: Callable[[Random], str]
    choosy: Message
    tail: str
    by_sql: bool


LOADS: Final = {
    SIGNALS: Load(
        SIGNALS, SIGNAL, some_signals, a_state, signals_pb2.SignalFilter(min_confidence=0.8), "tail", by_sql=False
    ),
    EVENTS: Load(
        EVENTS,
        ANOMALY,
        some_anomalies,
        a_resolution,
        anomalies_pb2.AnomalyFilter(min_severity=7),
        "topics",
        by_sql=True,
    ),
}
