"""Subscribers of a made-up service, who are given what they are due."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from google.protobuf.message import Message as Protobuf

from tests.chaos.history import Entry, History, Message, Position, Seen, Stream
from tests.chaos.matching import matcher
from tests.chaos.nouns import BEGINNINGS


class Readers:
    """They read the log of a history; `times` says when each of its events was committed."""

    def __init__(self, history: History, times: Sequence[float], rng: Random) -> None:
        self._history, self._times, self._rng = history, times, rng

    def follow(self, name: str, wanted: Protobuf) -> None:
        """A subscriber that reconnects, sometimes in the middle of a message."""
        taken: Position | None = None
        while taken is None or taken.sequence < self._history.head:
            after = taken.sequence if taken else 0
            stream = Stream(name, "one", 0.0, "after" if taken else "earliest", taken, wanted)
            stream.messages.append(self._message("started", after))
            self._read(stream, after, self._rng.randint(1, 6))
            last = stream.messages[-1]
            taken = last.position
            if last.events and self._rng.random() < 0.5:
                taken = self._position(last.events[0].sequence)
            stream.taken = taken
            self._history.streams.append(stream)

    def follow_current(self, wanted: Protobuf) -> None:
        """A subscriber that began in the midst with what was ACTIVE."""
        start = self._rng.randint(1, self._history.head)
        log, matches = self._history.log, matcher(wanted)
        over = {entry.key for entry in log[:start] if entry.kind not in BEGINNINGS}
        past, rest = ([entry for entry in part if matches(entry)] for part in (log[:start], log[start:]))
        active = [entry for entry in past if entry.kind in BEGINNINGS and entry.key not in over]
        stream = Stream("current", "two", 0.0, "current", None, wanted, ended=1.0, reason="LEFT")
        stream.messages = [
            self._message("started", 0),
            *([self._message("batch", start, active)] if active else []),
            self._message("caught_up", start),
            *([self._message("batch", self._history.head, rest)] if rest else []),
        ]
        stream.taken = stream.messages[-1].position
        self._history.streams.append(stream)

    def _read(self, stream: Stream, position: int, messages: int) -> None:
        matches = matcher(stream.wanted)
        for _ in range(messages):
            if position == self._history.head:
                return
            until = self._rng.randint(position + 1, self._history.head)
            events = [entry for entry in self._history.log[position:until] if matches(entry)]
            stream.messages.append(self._message("batch" if events else "heartbeat", until, events))
            position = until

    def _message(self, what: str, position: int, events: list[Entry] | None = None) -> Message:
        seen = tuple(Seen(entry.sequence, entry.kind, entry.key, entry.content) for entry in events or ())
        return Message(self._times[position], what, self._position(position), seen)

    def _position(self, sequence: int) -> Position:
        return Position(self._history.epoch, sequence)
