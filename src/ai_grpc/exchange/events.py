"""Events as the exchange holds them: encoded once, with what a filter looks at beside the bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.v1 import signals_pb2 as pb

_KINDS: Final = {name.removeprefix("KIND_"): value for name, value in pb.SignalEvent.Kind.items()}
SIGNAL_TYPES: Final = {name.removeprefix("SIGNAL_TYPE_"): value for name, value in pb.SignalType.items()}
# The field state, after the ACTIVE with which all were published.
_STATES: Final = {
    name.removeprefix("SIGNAL_STATE_"): b"" if value == pb.SIGNAL_STATE_ACTIVE else bytes((14 << 3, value))
    for name, value in pb.SignalState.items()
}
_BYTES: Final = [bytes((number,)) for number in range(0x80)]
PUBLISHED: Final = pb.SignalEvent.KIND_PUBLISHED
_TRADE_PLAN_ID: Final = b"\x80\x01"


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
    """Which events a subscriber wants. `parameters` say it to the queries, and `key` is the same for the same wish."""

    def __init__(self, selection: pb.SignalFilter) -> None:
        self._symbols = frozenset(selection.symbols)
        self._model_ids = frozenset(model_id.lower() for model_id in selection.model_ids)
        self._signal_types = frozenset[int](selection.signal_types)
        self._min_confidence = selection.min_confidence
        self._kinds = frozenset[int](selection.kinds)
        self.key = selection.SerializeToString(deterministic=True)
        self.parameters: tuple[Any, ...] = (
            list(self._symbols) or None,
            list(self._model_ids) or None,
            [name for name, value in SIGNAL_TYPES.items() if value in self._signal_types] or None,
            [name for name, value in _KINDS.items() if value in self._kinds] or None,
            self._min_confidence,
        )

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
    if number < 0x80:
        return _BYTES[number]
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80)) + varint(number >> 14)


def length_delimited(field_number: int, payload: bytes) -> bytes:
    """A field of wire type LEN, for field numbers up to 15."""
    return _BYTES[field_number << 3 | 2] + varint(len(payload)) + payload


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


def event_of(row: Sequence[Any]) -> Event:
    """The event of a row of `read_events` or `read_active`, spliced from the message that was stored."""
    sequence, kind, commit_time, create_time, status, trade_plan_id, symbol, model_id, signal_type, *more = row
    confidence, message, unstored = more
    signal = (message or _encoded(unstored)) + _STATES[status]
    if trade_plan_id is not None:
        signal += _TRADE_PLAN_ID + varint(trade_plan_id % 2**64)
    type_number = SIGNAL_TYPES[signal_type]
    return spliced(sequence, _KINDS[kind], commit_time, create_time, symbol, model_id, type_number, confidence, signal)


def spliced(
    sequence: int,
    kind: int,
    commit_time: datetime,
    create_time: datetime | None,
    symbol: str,
    model_id: str,
    signal_type: int,
    confidence: float,
    signal: bytes,
) -> Event:
    """An event around a signal that is encoded but for its create_time, which is the commit_time unless it is given.

    Fields 1 to 4 of SignalEvent, and field 17 of the signal. A field that comes twice has its last value, as in
    https://protobuf.dev/programming-guides/encoding/.
    """
    committed, created = _encoded_times(commit_time)
    if create_time is not None:
        created = _encoded_times(create_time)[1]
    length = varint(len(signal) + len(created))
    event = b"".join((b"\x08", varint(sequence), b"\x10", _BYTES[kind], committed, b"\x22", length, signal, created))
    return Event(sequence, kind, symbol, model_id, signal_type, confidence, length_delimited(1, event))


@lru_cache(maxsize=16)
def _encoded_times(time: datetime) -> tuple[bytes, bytes]:
    """A time as the commit_time of an event, and as the create_time of a signal."""
    encoded = timestamp_of(time).SerializeToString()
    return length_delimited(3, encoded), b"\x8a\x01" + varint(len(encoded)) + encoded


def _encoded(columns: Mapping[str, Any]) -> bytes:
    """A signal that was published before messages were stored."""
    signal = ParseDict({name: value for name, value in columns.items() if name != "create_time"}, pb.Signal())
    return signal.SerializeToString()
