"""Events as the exchange holds them: encoded once, with what a filter looks at beside the bytes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.v1 import signals_pb2 as pb


class Event(NamedTuple):
    """One event. `encoded` is a whole field of SignalBatch: tag, length and SignalEvent."""

    sequence: int
    kind: int
    symbol: str
    model_id: str
    signal_type: int
    confidence: float
    encoded: bytes


class EventFilter:
    """Which events a subscriber wants."""

    def __init__(self, selection: pb.SignalFilter) -> None:
        self._symbols = frozenset(selection.symbols)
        self._model_ids = frozenset(model_id.lower() for model_id in selection.model_ids)
        self._signal_types = frozenset[int](selection.signal_types)
        self._min_confidence = selection.min_confidence
        self._kinds = frozenset[int](selection.kinds)

    def matches(self, event: Event) -> bool:
        """AND between the fields that are set, OR inside one."""
        return (
            (not self._symbols or event.symbol in self._symbols)
            and (not self._model_ids or event.model_id in self._model_ids)
            and (not self._signal_types or event.signal_type in self._signal_types)
            and event.confidence >= self._min_confidence
            and (not self._kinds or event.kind in self._kinds)
        )


def varint(number: int) -> bytes:
    """A base-128 varint, as in https://protobuf.dev/programming-guides/encoding/."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def length_delimited(field_number: int, payload: bytes) -> bytes:
    """A field of wire type LEN, for field numbers up to 15."""
    return bytes((field_number << 3 | 2,)) + varint(len(payload)) + payload


def timestamp_of(time: datetime) -> Timestamp:
    """An aware datetime as a Timestamp."""
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp


def duration_of(seconds: float) -> Duration:
    """Seconds as a Duration."""
    duration = Duration()
    duration.FromMicroseconds(round(seconds * 1_000_000))
    return duration


def event_of(row: Mapping[str, Any]) -> Event:
    """The event of a row of the queries in `log.sql`."""
    columns = dict(row)
    sequence, kind = columns.pop("sequence"), pb.SignalEvent.Kind.Value(columns.pop("kind"))
    commit_time = columns.pop("commit_time")
    signal = pb.Signal(**columns)
    encoded = pb.SignalEvent(sequence=sequence, kind=kind, commit_time=commit_time, signal=signal).SerializeToString()
    return Event(
        sequence,
        kind,
        signal.symbol,
        signal.model_id,
        signal.signal_type,
        signal.confidence,
        length_delimited(1, encoded),
    )
