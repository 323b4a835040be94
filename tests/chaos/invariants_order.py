"""The order of the log against the clock of those who use it."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from operator import itemgetter
from typing import NamedTuple

from tests.chaos import telling
from tests.chaos.evidence import Evidence
from tests.chaos.history import End, Message, Outcome, Publish
from tests.chaos.nouns import BEGINNINGS


class Moment(NamedTuple):
    """That somebody knew a sequence, or asked for what is there, at a time."""

    time: float
    sequence: int
    what: Publish | End | Message


def real_time_order(evidence: Evidence) -> Iterator[str]:
    """I6."""
    known = merge(*_known(evidence), key=itemgetter(0))
    latest = next(known, None)
    highest: Moment | None = None
    for asked in sorted(_asked(evidence), key=itemgetter(0)):
        while latest is not None and latest.time < asked.time:
            if highest is None or latest.sequence > highest.sequence:
                highest = latest
            latest = next(known, None)
        if highest is not None and asked.sequence <= highest.sequence:
            yield f"{telling.of(highest.what)}\n{telling.of(asked.what)}\nthe later of them is at {asked.sequence}"


def _known(evidence: Evidence) -> Iterator[list[Moment]]:
    """Who knew of sequences, each list in order of time."""
    history = evidence.history
    acks = [
        Moment(publish.ended, max(evidence.place(*answer) for answer in answers), publish)
        for publish in history.publishes
        if publish.outcome is Outcome.OK and (answers := publish.answers)
    ]
    won = ((end, evidence.end_of(end)) for end in history.ends if end.outcome is Outcome.OK)
    acks += [Moment(end.ended, entry.sequence, end) for end, entry in won if entry is not None]
    yield sorted(acks, key=itemgetter(0))
    for stream in history.streams:
        yield [
            Moment(message.time, message.events[-1].sequence, message) for message in stream.messages if message.events
        ]


def _asked(evidence: Evidence) -> Iterator[Moment]:
    """The earliest moments at which somebody asked for what is in the log."""
    for entry in evidence.known.values():
        if entry.kind in BEGINNINGS:
            said = min(evidence.possible(entry.key), key=lambda said: said.publish.invoked, default=None)
            if said is not None:
                yield Moment(said.publish.invoked, entry.sequence, said.publish)
        else:
            ends = [
                end
                for end in evidence.ends.get(entry.key, ())
                if end.state == entry.kind and end.outcome is not Outcome.FAIL
            ]
            if ends:
                end = min(ends, key=lambda end: end.invoked)
                yield Moment(end.invoked, entry.sequence, end)
