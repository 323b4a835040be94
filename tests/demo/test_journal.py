"""What the bot has written down survives it, whole lines only."""

from __future__ import annotations

from pathlib import Path

import pytest

from ai_grpc.demo.journal import Entered, Journal, read
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2


def an_event(sequence: int) -> Entered:
    signal = pb.Signal(signal_id=f"id-{sequence}", symbol="GOOG", confidence=0.1234, state=pb.SIGNAL_STATE_ACTIVE)
    signal.market_data_time.FromJsonString("2013-03-01T00:00:00.000001Z")
    signal.metadata.update({"rsi": 1 / 3, "rule": "cross"})
    event = pb.SignalEvent(sequence=sequence, kind=pb.SignalEvent.KIND_PUBLISHED, signal=signal)
    event.commit_time.FromNanoseconds(1000)
    return Entered.of(event, epoch="e", received_ns=2000, live=True)


def append(path: Path, *events: Entered) -> None:
    with Journal(path) as journal:
        for event in events:
            journal.append(event)


def test_what_was_appended_is_read_again_with_every_digit(tmp_path: Path) -> None:
    append(tmp_path / "journal", an_event(1), an_event(2))
    with Journal(tmp_path / "journal") as journal:
        assert journal.entered == [an_event(1), an_event(2)]
    signal = journal.entered[0].to_signal()
    assert signal.metadata["rsi"] == 1 / 3
    assert signal.market_data_time.ToJsonString() == "2013-03-01T00:00:00.000001Z"


def test_position_is_that_of_the_last_line(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        assert journal.position is None
        journal.append(an_event(7))
        assert journal.position == streams_pb2.Position(epoch="e", sequence=7)


@pytest.mark.parametrize("torn", ["", "{", '{"epoch": "e", "sequence": 3'])
@pytest.mark.parametrize("whole", [[], [an_event(1)]])
def test_torn_last_line_is_forgotten_and_written_over(tmp_path: Path, whole: list[Entered], torn: str) -> None:
    path = tmp_path / "journal"
    append(path, *whole)
    with path.open("a") as file:
        file.write(torn)
    assert read(path) == whole
    append(path, an_event(2))
    assert read(path) == [*whole, an_event(2)]


def test_line_is_on_disk_when_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / "journal", []
    monkeypatch.setattr("os.fsync", lambda _: synced.append(read(path)))
    append(path, an_event(1))
    assert synced == [[an_event(1)]]
