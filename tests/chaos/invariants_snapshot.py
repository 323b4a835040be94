"""What the first part of a stream from `current` holds: the signals that were ACTIVE."""

from __future__ import annotations

from collections.abc import Iterator

from ai_grpc.v1 import signals_pb2
from tests.chaos import telling
from tests.chaos.evidence import Delivery, Evidence
from tests.chaos.history import Entry
from tests.chaos.nouns import BEGINNINGS


def active_signals_first(evidence: Evidence) -> Iterator[str]:
    """I20."""
    for delivery in evidence.deliveries:
        # The SDK hides its connections: what it has after a new one in the midst of the first part is live.
        if delivery.stream.start == "current" and delivery.stream.replica != "any":
            yield from _faults(evidence, delivery)


def _faults(evidence: Evidence, delivery: Delivery) -> Iterator[str]:
    given = {sequence for sequence in delivery.sequences if sequence <= delivery.base}
    candidates = {
        sequence: evidence.known[sequence]
        for sequence in evidence.owed(delivery.stream.wanted, 0, delivery.base)
        if evidence.known[sequence].kind in BEGINNINGS
    }
    read = next((m.time for m in delivery.stream.messages if m.what == "caught_up"), delivery.stream.messages[-1].time)
    for sequence in sorted(given - candidates.keys()):
        yield f"{telling.of_stream(delivery.stream)}\n{sequence} is no publication of a wanted signal"
    for sequence, entry in candidates.items():
        end = evidence.over.get(entry.key)
        if sequence in given and end is not None and end.sequence <= delivery.base:
            text = f"was given, as ACTIVE up to {delivery.base}"
            yield f"{telling.of_stream(delivery.stream)}\n{telling.of_entry(entry)}\n{telling.of_entry(end)}\n{text}"
        if sequence not in given and _was_active(evidence, entry, read):
            text = f"was left out, of those ACTIVE up to {delivery.base}"
            yield f"{telling.of_stream(delivery.stream)}\n{telling.of_entry(entry)}\n{text}"


def _was_active(evidence: Evidence, entry: Entry, read: float) -> bool:
    """Whether the signal cannot have ended before the first part was read."""
    ends = evidence.ends.get(entry.key, ())
    end = evidence.over.get(entry.key)
    if (end is None and evidence.history.floor) or (end is not None and end.kind == "EXPIRED"):
        # An end that nobody saw may have been trimmed; that of an expiry has no caller to know its time.
        return end is None and not ends and not _may_expire(entry)
    return end is None or all(call.invoked > read for call in ends)


def _may_expire(entry: Entry) -> bool:
    return isinstance(entry.message, signals_pb2.Signal) and entry.message.HasField("expire_time")
