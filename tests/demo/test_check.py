"""The check says equal only of what is equal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ai_grpc.demo.check import Logged, differences, strayed, unheard, unkept
from ai_grpc.demo.journal import Entered
from ai_grpc.demo.paper import summary, trade
from ai_grpc.demo.prices import load
from ai_grpc.demo.rules import Genes, entries
from ai_grpc.demo.signals import to_signal
from ai_grpc.v1 import signals_pb2 as pb


def published(sequence: int, signal_id: str) -> pb.SignalEvent:
    signal = pb.Signal(signal_id=signal_id, symbol="GOOG", state=pb.SIGNAL_STATE_ACTIVE)
    return pb.SignalEvent(sequence=sequence, kind=pb.SignalEvent.KIND_PUBLISHED, signal=signal)


def executed(sequence: int, signal_id: str) -> pb.SignalEvent:
    signal = pb.Signal(signal_id=signal_id, symbol="GOOG", state=pb.SIGNAL_STATE_EXECUTED)
    return pb.SignalEvent(sequence=sequence, kind=pb.SignalEvent.KIND_EXECUTED, signal=signal)


LOGGED = Logged("e", [published(1, "a"), published(2, "b"), executed(3, "a")])
JOURNAL = [Entered.of(event, epoch="e", received_ns=0, live=True) for event in LOGGED.events]


def test_no_difference_between_equal_logs() -> None:
    assert differences(JOURNAL, LOGGED) == []


def test_state_of_a_signal_at_the_time_of_sending_does_not_count() -> None:
    later = published(1, "a")
    later.signal.state = pb.SIGNAL_STATE_EXECUTED
    assert differences(JOURNAL, Logged("e", [later, *LOGGED.events[1:]])) == []


Change = Callable[[list[Entered]], list[Entered]]
CHANGES: dict[str, Change] = {
    "missing": lambda journal: journal[:1] + journal[2:],
    "missing at the end": lambda journal: journal[:-1],
    "twice": lambda journal: [*journal, journal[-1]],
    "out of order": lambda journal: [journal[1], journal[0], journal[2]],
    "another sequence": lambda journal: [replace(journal[0], sequence=9), *journal[1:]],
    "another kind": lambda journal: [replace(journal[0], kind="EXPIRED"), *journal[1:]],
    "another epoch": lambda journal: [replace(journal[0], epoch="f"), *journal[1:]],
    "another signal": lambda journal: [replace(journal[0], signal={"signal_id": "c"}), *journal[1:]],
    "another content": lambda journal: [replace(journal[0], signal=journal[0].signal | {"symbol": "X"}), *journal[1:]],
    "empty": lambda journal: [],
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_difference_is_found(name: str) -> None:
    assert differences(CHANGES[name](JOURNAL), LOGGED)


def test_generations_must_come_one_after_another_and_end_with_the_genes_of_the_model() -> None:
    genes: dict[str, object] = {"GOOG": {"sma_short": 9}}
    heard: list[dict[str, object]] = [{"number": number, "best": {"sma_short": 9}} for number in range(3)]
    assert unheard({"GOOG": heard}, genes, 3) == []
    for wrong in (heard[:2], heard[1:], [*heard, heard[2]], [heard[1], heard[0], heard[2]], []):
        assert unheard({"GOOG": wrong}, genes, 3)
    assert unheard({"GOOG": [*heard[:2], {"number": 2, "best": {"sma_short": 8}}]}, genes, 3)


def test_acknowledged_signal_must_be_at_its_sequence() -> None:
    assert unkept([{"signal_id": "a", "sequence": 1}, {"signal_id": "b", "sequence": 2}], LOGGED) == []
    assert unkept([{"signal_id": "a", "sequence": 2}], LOGGED)
    assert unkept([{"signal_id": "c", "sequence": 1}], LOGGED)


def test_account_must_be_that_of_the_whole_log() -> None:
    series = load("GOOG")
    fired = [entry for entry in entries(series, Genes(9, 35, 14, 40, 65)) if entry.bar >= series.split]
    signals = [to_signal(entry, series, model_id="m", confidence=0.5) for entry in fired]
    logged = Logged("e", [pb.SignalEvent(kind=pb.SignalEvent.KIND_PUBLISHED, signal=signal) for signal in signals])
    assert strayed({"GOOG": summary(series, trade(series, fired, series.split))}, logged) == []
    assert strayed({"GOOG": summary(series, trade(series, fired[:5] + fired[6:], series.split))}, logged)
