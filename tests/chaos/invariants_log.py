"""What holds of the log, and of those who were told where in it something is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from tests.chaos import telling
from tests.chaos.evidence import PUBLISHED, Evidence
from tests.chaos.history import Entry, Outcome


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
        if end.outcome is Outcome.OK and known is not None and known.signal_id != end.signal_id:
            yield f"{telling.of_end(end)}\n{telling.of_entry(known)}"
    for signal_id in evidence.sent:
        for ack in evidence.acks(signal_id):
            known = evidence.known.get(ack.sequence)
            if known is not None and known.signal_id != signal_id:
                yield f"{telling.of_publish(ack.publish, signal_id)}\n{telling.of_entry(known)}"


def one_sequence_per_signal(evidence: Evidence) -> Iterator[str]:
    """I4."""
    places: dict[str, Entry] = {}
    for entry in evidence.history.log:
        if entry.kind == PUBLISHED and places.setdefault(entry.signal_id, entry) is not entry:
            said = evidence.sent.get(entry.signal_id, ())[:2]
            calls = [telling.of_publish(one.publish, entry.signal_id) for one in said]
            yield "\n".join([*calls, _lines(places[entry.signal_id], entry)])
    for signal_id in evidence.sent:
        acks = evidence.acks(signal_id)
        first_told = [ack.publish for ack in acks if not ack.duplicate]
        if len(first_told) > 1:
            texts = [telling.of_publish(publish, signal_id) for publish in first_told[:2]]
            yield "\n".join([*texts, "both say that they were the first"])
        first = evidence.published.get(signal_id)
        place = first.sequence if first else acks[0].sequence if acks else 0
        for ack in acks:
            if ack.sequence != place:
                other = telling.of_entry(first) if first else telling.of_publish(acks[0].publish, signal_id)
                yield f"{telling.of_publish(ack.publish, signal_id)}\n{other}"


def dense_log(evidence: Evidence) -> Iterator[str]:
    """I5."""
    history = evidence.history
    sequences = [history.floor, *sorted(evidence.log)]
    for before, after in pairwise(sequences):
        if after != before + 1:
            yield f"the floor is {history.floor}\nlog  {before}\nlog  {after}, with nothing between"
    if sequences[-1] != history.head:
        yield f"log  ends at {sequences[-1]}\nthe head is {history.head}"
    for signal_id, sequence in history.signals:
        there = evidence.log.get(sequence)
        if sequence > history.floor and (there is None or (there.kind, there.signal_id) != (PUBLISHED, signal_id)):
            found = telling.of_entry(there) if there else f"log  has nothing at {sequence}"
            yield f"ai_signals  {signal_id} at {sequence}\n{found}"
    stored = {signal_id for signal_id, _ in history.signals}
    for entry in history.log:
        if entry.signal_id not in stored:
            yield f"{telling.of_entry(entry)}\nai_signals  has no such signal"


def at_most_one_end(evidence: Evidence) -> Iterator[str]:
    """I18."""
    lives: dict[str, list[Entry]] = {}
    for entry in evidence.history.log:
        lives.setdefault(entry.signal_id, []).append(entry)
    for life in lives.values():
        if any(entry.kind == PUBLISHED for entry in life[1:]) or sum(entry.kind != PUBLISHED for entry in life) > 1:
            yield _lines(*life)
        elif life[0].kind != PUBLISHED and evidence.history.floor == 0:
            yield f"{_lines(*life)}\nit was not published before"
    for signal_id, ends in evidence.ends.items():
        won = [end for end in ends if end.outcome is Outcome.OK]
        for one, other in pairwise(won):
            if (one.sequence, one.state) != (other.sequence, other.state):
                yield f"{telling.of_end(one)}\n{telling.of_end(other)}"
        for end in won:
            known = evidence.known.get(end.sequence)
            if known is not None and (known.kind, known.signal_id) != (end.state, signal_id):
                yield f"{telling.of_end(end)}\n{telling.of_entry(known)}"
    yield from _ends_of_nobody(evidence)


def _ends_of_nobody(evidence: Evidence) -> Iterator[str]:
    for entry in evidence.history.log:
        ends = evidence.ends.get(entry.signal_id, ())
        wanted = any(end.state == entry.kind and end.outcome is not Outcome.FAIL for end in ends)
        if entry.kind in ("EXECUTED", "CANCELLED") and not wanted:
            yield "\n".join(
                [telling.of_entry(entry), *map(telling.of_end, ends), "nobody was told so, or asked for it"]
            )
    for end in evidence.history.ends:
        if end.reason == "SIGNAL_NOT_ACTIVE" and end.signal_id not in evidence.over and evidence.history.floor == 0:
            yield f"{telling.of_end(end)}\nlog  has no end of it"


def _lines(*entries: Entry) -> str:
    return "\n".join(map(telling.of_entry, entries))
