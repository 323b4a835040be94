"""What holds of the log, and of those who were told where in it something is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from tests.chaos import telling
from tests.chaos.evidence import Evidence
from tests.chaos.history import Entry, Outcome, Row
from tests.chaos.nouns import BEGINNINGS

# Why a call to end something is refused that comes too late.
OVER: Final = ("SIGNAL_NOT_ACTIVE", "ANOMALY_RESOLVED")


def one_event_per_sequence(evidence: Evidence) -> Iterator[str]:
    """I3."""
    for entry in evidence.history.log:
        if evidence.log[entry.sequence] is not entry:
            yield _lines(entry, evidence.log[entry.sequence])
    for stream, seen in evidence.strangers:
        known = evidence.known.get(seen.sequence)
        other = telling.of_entry(known) if known else f"log  has nothing at {seen.sequence}"
        yield f"{telling.of_stream(stream)}\n{telling.of_seen(seen)}\n{other}"
    for end in evidence.history.ends:
        known = evidence.known.get(end.sequence)
        if end.outcome is Outcome.OK and known is not None and known.key != end.key:
            yield f"{telling.of_end(end)}\n{telling.of_entry(known)}"
    for key in evidence.sent:
        for ack in evidence.acks(key):
            known = evidence.known.get(ack.sequence)
            if known is not None and known.key != key:
                yield f"{telling.of_publish(ack.publish, key)}\n{telling.of_entry(known)}"


def one_sequence_per_signal(evidence: Evidence) -> Iterator[str]:
    """I4."""
    places: dict[str, Entry] = {}
    for entry in evidence.history.log:
        if entry.kind in BEGINNINGS and places.setdefault(entry.key, entry) is not entry:
            said = evidence.sent.get(entry.key, ())[:2]
            calls = [telling.of_publish(one.publish, entry.key) for one in said]
            yield "\n".join([*calls, _lines(places[entry.key], entry)])
    for key in evidence.sent:
        acks = evidence.acks(key)
        first_told = [ack.publish for ack in acks if not ack.duplicate]
        if len(first_told) > 1:
            texts = [telling.of_publish(publish, key) for publish in first_told[:2]]
            yield "\n".join([*texts, "both say that they were the first"])
        first = evidence.published.get(key)
        place = first.sequence if first else acks[0].sequence if acks else 0
        for ack in acks:
            if ack.sequence and ack.sequence != place:
                other = telling.of_entry(first) if first else telling.of_publish(acks[0].publish, key)
                yield f"{telling.of_publish(ack.publish, key)}\n{other}"


def dense_log(evidence: Evidence) -> Iterator[str]:
    """I5."""
    history = evidence.history
    sequences = [history.floor, *sorted(evidence.log)]
    for before, after in pairwise(sequences):
        if after != before + 1:
            yield f"the floor is {history.floor}\nlog  {before}\nlog  {after}, with nothing between"
    if sequences[-1] != history.head:
        yield f"log  ends at {sequences[-1]}\nthe head is {history.head}"
    for row in history.rows:
        there = evidence.published.get(row.key) if row.place is None else evidence.log.get(row.place)
        if _is_logged(row, history.floor) and (
            there is None or (there.kind, there.key, there.content) != (row.kind, row.key, row.content)
        ):
            yield f"{telling.of_row(row)}\n{telling.of_entry(there) if there else 'log  has nothing there'}"
    for entry in history.log:
        if entry.key not in evidence.rows:
            yield f"{telling.of_entry(entry)}\ntable  has no such row"


def _is_logged(row: Row, floor: int) -> bool:
    """Whether the log must have the first event of a row: where the table keeps no place, only a whole log must."""
    return not floor if row.place is None else row.place > floor or row.place == 0


def at_most_one_end(evidence: Evidence) -> Iterator[str]:
    """I18."""
    lives: dict[str, list[Entry]] = {}
    for entry in evidence.history.log:
        lives.setdefault(entry.key, []).append(entry)
    for life in lives.values():
        begins = [entry.kind in BEGINNINGS for entry in life]
        if any(begins[1:]) or begins.count(False) > 1:
            yield _lines(*life)
        elif not begins[0] and evidence.history.floor == 0:
            yield f"{_lines(*life)}\nit was not published before"
    for key, ends in evidence.ends.items():
        won = [end for end in ends if end.outcome is Outcome.OK]
        for one, other in pairwise(won):
            if (one.sequence, one.state) != (other.sequence, other.state):
                yield f"{telling.of_end(one)}\n{telling.of_end(other)}"
        for end in won:
            known = evidence.end_of(end)
            if known is not None and (known.kind, known.key) != (end.state, key):
                yield f"{telling.of_end(end)}\n{telling.of_entry(known)}"
    yield from _ends_of_nobody(evidence)


def _ends_of_nobody(evidence: Evidence) -> Iterator[str]:
    for entry in evidence.history.log:
        ends = evidence.ends.get(entry.key, ())
        wanted = any(end.state == entry.kind and end.outcome is not Outcome.FAIL for end in ends)
        if entry.kind not in (*BEGINNINGS, "EXPIRED") and not wanted:
            yield "\n".join(
                [telling.of_entry(entry), *map(telling.of_end, ends), "nobody was told so, or asked for it"]
            )
    for end in evidence.history.ends:
        if end.reason in OVER and end.key not in evidence.over and evidence.history.floor == 0:
            yield f"{telling.of_end(end)}\nlog  has no end of it"


def _lines(*entries: Entry) -> str:
    return "\n".join(map(telling.of_entry, entries))
