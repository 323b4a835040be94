"""A history, and what follows from it at once: what is at a sequence, who sent a signal, what a stream owed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, repeat
from typing import NamedTuple

from google.protobuf.message import Message

from tests.chaos.history import End, Entry, History, Outcome, Position, Publish, Seen, Stream
from tests.chaos.matching import entry_of, matcher
from tests.chaos.nouns import BEGINNINGS


@dataclass(frozen=True, slots=True)
class Delivery:
    """A stream that said something: its events; after `base` it owed every event, up to `told`, its last position."""

    stream: Stream
    events: list[Seen]
    sequences: list[int]
    base: int
    told: int


class Said(NamedTuple):
    """A signal in a request to publish it, whose ids are `request`, and the answer for it; sequence 0 if that named
    none. So for all other nouns."""

    publish: Publish
    request: tuple[str, ...]
    content: bytes
    sequence: int
    duplicate: bool


class Evidence:
    """What all invariants look at, worked out once."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.sent: dict[str, list[Said]] = {}
        for publish in history.publishes:
            request = tuple(sent.key for sent in publish.items)
            answers = chain(zip(publish.sequences, publish.duplicates, strict=False), repeat((0, False)))
            for sent, answer in zip(publish.items, answers, strict=False):
                self.sent.setdefault(sent.key, []).append(Said(publish, request, sent.content, *answer))
        self.ends: dict[str, list[End]] = {}
        for end in history.ends:
            self.ends.setdefault(end.key, []).append(end)
        self.deliveries = [_delivery(stream) for stream in history.streams if stream.messages]
        self.log = {entry.sequence: entry for entry in history.log}
        self.known = {entry.sequence: entry for entry in (*self._trimmed(), *history.log)}
        self.published = {entry.key: entry for entry in self.known.values() if entry.kind in BEGINNINGS}
        self.over = {entry.key: entry for entry in self.known.values() if entry.kind not in BEGINNINGS}
        self.rows = {row.key: row for row in history.rows}
        self._order = sorted(self.known)
        self._wanted: dict[tuple[type[Message], bytes], list[int]] = {}

    def possible(self, key: str) -> list[Said]:
        """The requests that may have published a signal of this id."""
        return [said for said in self.sent.get(key, ()) if said.publish.outcome is not Outcome.FAIL]

    def acks(self, key: str) -> list[Said]:
        """The requests that were acknowledged."""
        return [said for said in self.sent.get(key, ()) if said.publish.outcome is Outcome.OK]

    def place(self, key: str, named: int) -> int:
        """Where the log has what was acknowledged, if the answer did not name it; 0 if it is not known."""
        return named or (self.published[key].sequence if key in self.published else 0)

    def end_of(self, end: End) -> Entry | None:
        """What the log has where the answer said that something ended, or where else it ends."""
        return self.known.get(end.sequence) if end.sequence else self.over.get(end.key)

    def wanted(self, selection: Message) -> list[int]:
        """The sequences of all known events that a filter lets through."""
        key = type(selection), selection.SerializeToString(deterministic=True)
        if key not in self._wanted:
            matches = matcher(selection)
            self._wanted[key] = [sequence for sequence in self._order if matches(self.known[sequence])]
        return self._wanted[key]

    def owed(self, selection: Message, after: int, through: int) -> list[int]:
        """Those of them in a range."""
        wanted = self.wanted(selection)
        return wanted[bisect_right(wanted, after) : bisect_right(wanted, through)]

    @cached_property
    def strangers(self) -> list[tuple[Stream, Seen]]:
        """Deliveries that are not what the log has at their sequence."""
        known = {sequence: (entry.kind, entry.key, entry.content) for sequence, entry in self.known.items()}
        return [
            (delivery.stream, seen)
            for delivery in self.deliveries
            for seen in delivery.events
            if known.get(seen.sequence) != (seen.kind, seen.key, seen.content)
        ]

    def _trimmed(self) -> Iterator[Entry]:
        """What is known of the log up to the floor: from those who saw it, those who ended it, and the table."""
        history, past = self.history, dict[int, tuple[str, str, bytes]]()
        for delivery in self.deliveries:
            for seen in delivery.events:
                if seen.sequence <= history.floor:
                    past[seen.sequence] = seen.kind, seen.key, seen.content
        for end in history.ends:
            if end.outcome is Outcome.OK and 0 < end.sequence <= history.floor and end.key in self.sent:
                past[end.sequence] = end.state, end.key, self.sent[end.key][0].content
        for row in history.rows:
            if row.place and row.place <= history.floor:
                past[row.place] = row.kind, row.key, row.content
        return (entry_of(sequence, *event) for sequence, event in past.items())


def _delivery(stream: Stream) -> Delivery:
    events = [seen for message in stream.messages for seen in message.events]
    return Delivery(
        stream, events, [seen.sequence for seen in events], _base(stream, events), stream.messages[-1].position.sequence
    )


def _base(stream: Stream, events: list[Seen]) -> int:
    first: Position = stream.messages[0].position
    if stream.start == "current":
        # Up to here the ACTIVE signals, from here on everything.
        caught_up = (message.position for message in stream.messages if message.what == "caught_up")
        return next(caught_up, stream.messages[-1].position).sequence
    if stream.after is not None:
        return stream.after.sequence
    if stream.messages[0].what != "started" and events:
        return events[0].sequence - 1
    return first.sequence
