"""What publishers are promised."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from tests.chaos import telling
from tests.chaos.evidence import Evidence, Said
from tests.chaos.history import End, Entry, Outcome, Publish, Stream
from tests.chaos.invariants_log import OVER

# A request that is right may be refused so for a moment, on another try it is not.
PASSING: Final = (
    "OVERLOADED",
    "DRAINING",
    "DATABASE_UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "SERIALIZATION_FAILURE",
)
ABSENT: Final = ("SIGNAL_NOT_FOUND", "ANOMALY_NOT_FOUND")


def acknowledged_is_durable(evidence: Evidence) -> Iterator[str]:
    """I1."""
    history = evidence.history
    for key in evidence.sent:
        for ack in evidence.acks(key):
            if loss := _loss(evidence, key, ack):
                yield f"{telling.of_publish(ack.publish, key)}\n{loss}"
    for publish in history.publishes:
        if publish.outcome is Outcome.OK and len(publish.sequences) != len(publish.items):
            yield f"{telling.of_publish(publish)}\n{len(publish.sequences)} answers"
    for end in history.ends:
        entry = evidence.end_of(end)
        lost = entry is None or (entry.kind, entry.key) != (end.state, end.key)
        logged = end.sequence > history.floor if end.sequence else not history.floor
        if end.outcome is Outcome.OK and logged and lost:
            yield f"{telling.of_end(end)}\n{_found(entry)}"


def _loss(evidence: Evidence, key: str, ack: Said) -> str:
    """What there is instead of what was acknowledged; nothing if it is there."""
    place, row, floor = evidence.place(key, ack.sequence), evidence.rows.get(key), evidence.history.floor
    if row is None or row.content != ack.content or (row.place or place) != place:
        return telling.of_row(row) if row else "table  has no such row"
    entry = evidence.log.get(place)
    trimmed = 0 < place <= floor or (not place and row.place is None and floor > 0)
    there = entry is not None and (entry.kind, entry.key, entry.content) == (row.kind, key, ack.content)
    return "" if trimmed or there else _found(entry)


def nothing_is_invented(evidence: Evidence) -> Iterator[str]:
    """I2."""
    for entry in evidence.history.log:
        if not _was_sent(evidence, entry.key, entry.content):
            yield "\n".join([telling.of_entry(entry), *_attempts(evidence, entry.key)])
    for row in evidence.history.rows:
        if not _was_sent(evidence, row.key, row.content):
            yield "\n".join([telling.of_row(row), *_attempts(evidence, row.key)])
    for stream, seen in evidence.strangers:
        if not _was_sent(evidence, seen.key, seen.content):
            attempts = _attempts(evidence, seen.key)
            yield "\n".join([telling.of_stream(stream), telling.of_seen(seen), *attempts])


def atomic_requests(evidence: Evidence) -> Iterator[str]:
    """I11."""
    for publish in evidence.history.publishes:
        if publish.outcome is Outcome.OK and not _contiguous(evidence, publish):
            yield f"{telling.of_publish(publish)}\nits new signals do not follow each other"
        own = _own(evidence, publish)
        written = [(index, sequence) for index, sequence in own if sequence]
        if 0 < len(written) < len(own) or (written and not evidence.possible(publish.items[written[0][0]].key)):
            text = f"{len(written)} of its {len(publish.items)} signals are in the log, at {written[0][1]} and on"
            yield f"{telling.of_publish(publish)}\n{text}"
        for (index, sequence), (later, further) in pairwise(written):
            if not sequence < further <= sequence + later - index:
                yield f"{telling.of_publish(publish)}\nits signals {index} and {later} are at {sequence} and {further}"


def refused_for_a_cause(evidence: Evidence) -> Iterator[str]:
    """I19."""
    for publish in evidence.history.publishes:
        refused = publish.outcome is Outcome.FAIL and publish.reason not in (*PASSING, publish.refusal)
        if refused and not (publish.reason.endswith("_EXISTS") and _rivals(evidence, publish)):
            yield f"{telling.of_publish(publish)}\nit was to be answered by {publish.refusal or 'its sequences'}"
        if publish.outcome is Outcome.OK and publish.refusal:
            yield f"{telling.of_publish(publish)}\nit was to be refused by {publish.refusal}"
    for end in evidence.history.ends:
        known = any(ack.publish.ended < end.invoked for ack in evidence.acks(end.key))
        deserved = (*OVER, *PASSING) if known else (*OVER, *ABSENT, *PASSING)
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
    request = tuple(sent.key for sent in publish.items)
    own = []
    for index, sent in enumerate(publish.items):
        if all(one.request == request for one in evidence.possible(sent.key)):
            entry = evidence.published.get(sent.key)
            own.append((index, entry.sequence if entry else 0))
    return own


def _contiguous(evidence: Evidence, publish: Publish) -> bool:
    places = zip((evidence.place(*answer) for answer in publish.answers), publish.duplicates, strict=False)
    new = [place for place, duplicate in places if place and not duplicate]
    return all(after == before + 1 for before, after in pairwise(new))


def _was_sent(evidence: Evidence, key: str, content: bytes) -> bool:
    return any(said.content == content for said in evidence.possible(key))


def _attempts(evidence: Evidence, key: str) -> list[str]:
    said = evidence.sent.get(key, ())
    return [telling.of_publish(one.publish, key) for one in said] or ["nobody sent it"]


def _rivals(evidence: Evidence, publish: Publish) -> bool:
    """Whether anybody may have published one of its ids with other content."""
    return any(said.content != sent.content for sent in publish.items for said in evidence.possible(sent.key))


def _found(entry: Entry | None) -> str:
    return telling.of_entry(entry) if entry else "log  has nothing there"
