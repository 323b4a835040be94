"""What publishers are promised."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from tests.chaos import telling
from tests.chaos.evidence import PUBLISHED, Evidence
from tests.chaos.history import End, Entry, Outcome, Publish, Stream

# A request that is right may be refused so for a moment, on another try it is not.
PASSING: Final = ("OVERLOADED", "DRAINING", "DATABASE_UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED")


def acknowledged_is_durable(evidence: Evidence) -> Iterator[str]:
    """I1."""
    history, stored = evidence.history, dict(evidence.history.signals)
    for signal_id in evidence.sent:
        for ack in evidence.acks(signal_id):
            entry = evidence.log.get(ack.sequence)
            if ack.sequence <= history.floor:
                if stored.get(signal_id) != ack.sequence:
                    yield f"{telling.of_publish(ack.publish, signal_id)}\nai_signals  has {stored.get(signal_id)}"
            elif entry is None or (entry.kind, entry.signal_id, entry.content) != (PUBLISHED, signal_id, ack.content):
                yield f"{telling.of_publish(ack.publish, signal_id)}\n{_found(entry, ack.sequence)}"
    for publish in history.publishes:
        if publish.outcome is Outcome.OK and len(publish.sequences) != len(publish.signals):
            yield f"{telling.of_publish(publish)}\n{len(publish.sequences)} answers"
    for end in history.ends:
        entry = evidence.log.get(end.sequence)
        lost = entry is None or (entry.kind, entry.signal_id) != (end.state, end.signal_id)
        if end.outcome is Outcome.OK and end.sequence > history.floor and lost:
            yield f"{telling.of_end(end)}\n{_found(entry, end.sequence)}"


def nothing_is_invented(evidence: Evidence) -> Iterator[str]:
    """I2."""
    for entry in evidence.history.log:
        if not _was_sent(evidence, entry.signal_id, entry.content):
            yield "\n".join([telling.of_entry(entry), *_attempts(evidence, entry.signal_id)])
    for stream, seen in evidence.strangers:
        if not _was_sent(evidence, seen.signal_id, seen.content):
            attempts = _attempts(evidence, seen.signal_id)
            yield "\n".join([telling.of_stream(stream), telling.of_seen(seen), *attempts])


def atomic_requests(evidence: Evidence) -> Iterator[str]:
    """I11."""
    for publish in evidence.history.publishes:
        if publish.outcome is Outcome.OK and not _contiguous(publish):
            yield f"{telling.of_publish(publish)}\nits new signals do not follow each other"
        own = _own(evidence, publish)
        written = [(index, sequence) for index, sequence in own if sequence]
        if 0 < len(written) < len(own) or (written and not evidence.possible(publish.signals[written[0][0]].signal_id)):
            text = f"{len(written)} of its {len(publish.signals)} signals are in the log, at {written[0][1]} and on"
            yield f"{telling.of_publish(publish)}\n{text}"
        for (index, sequence), (later, further) in pairwise(written):
            if not sequence < further <= sequence + later - index:
                yield f"{telling.of_publish(publish)}\nits signals {index} and {later} are at {sequence} and {further}"


def refused_for_a_cause(evidence: Evidence) -> Iterator[str]:
    """I19."""
    for publish in evidence.history.publishes:
        refused = publish.outcome is Outcome.FAIL and publish.reason not in (*PASSING, publish.refusal)
        if refused and not (publish.reason == "SIGNAL_EXISTS" and _rivals(evidence, publish)):
            yield f"{telling.of_publish(publish)}\nit was to be answered by {publish.refusal or 'its sequences'}"
        if publish.outcome is Outcome.OK and publish.refusal:
            yield f"{telling.of_publish(publish)}\nit was to be refused by {publish.refusal}"
    for end in evidence.history.ends:
        known = any(ack.publish.ended < end.invoked for ack in evidence.acks(end.signal_id))
        deserved = ("SIGNAL_NOT_ACTIVE", *PASSING) if known else ("SIGNAL_NOT_ACTIVE", "SIGNAL_NOT_FOUND", *PASSING)
        if end.outcome is Outcome.FAIL and end.reason not in deserved:
            yield f"{telling.of_end(end)}\nit was to win, or to find that another one had"
    calls: list[Publish | End | Stream] = [
        *evidence.history.publishes,
        *evidence.history.ends,
        *evidence.history.streams,
    ]
    for call in calls:
        if call.reason == "INTERNAL":
            yield f"{telling.of(call)}\nthe server has a fault"


def _own(evidence: Evidence, publish: Publish) -> list[tuple[int, int]]:
    """The places in the request and in the log, 0 for none, of its signals that were in no other request but in
    repetitions of it."""
    request = tuple(sent.signal_id for sent in publish.signals)
    own = []
    for index, sent in enumerate(publish.signals):
        if all(one.request == request for one in evidence.possible(sent.signal_id)):
            entry = evidence.published.get(sent.signal_id)
            own.append((index, entry.sequence if entry else 0))
    return own


def _contiguous(publish: Publish) -> bool:
    places = zip(publish.sequences, publish.duplicates, strict=False)
    new = [sequence for sequence, duplicate in places if not duplicate]
    return all(after == before + 1 for before, after in pairwise(new))


def _was_sent(evidence: Evidence, signal_id: str, content: bytes) -> bool:
    return any(said.content == content for said in evidence.possible(signal_id))


def _attempts(evidence: Evidence, signal_id: str) -> list[str]:
    said = evidence.sent.get(signal_id, ())
    return [telling.of_publish(one.publish, signal_id) for one in said] or ["nobody sent it"]


def _rivals(evidence: Evidence, publish: Publish) -> bool:
    """Whether anybody may have published one of its ids with other content."""
    return any(said.content != sent.content for sent in publish.signals for said in evidence.possible(sent.signal_id))


def _found(entry: Entry | None, sequence: int) -> str:
    return telling.of_entry(entry) if entry else f"log  has nothing at {sequence}"
