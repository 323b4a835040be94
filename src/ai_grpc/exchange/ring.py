"""The latest events in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ai_grpc.exchange.entries import Entry, Selection
from ai_grpc.exchange.steps import Batch, batches_of

# Subscribers who are at the head want the same of the newest events: so many different wishes are kept.
SHARED: Final = 16


class Ring:
    """Events up to `head`, the last of all, from `oldest` on; as many as fit into `size` places and `max_bytes`."""

    def __init__(self, size: int, max_bytes: int) -> None:
        self._size, self._max_bytes = size, max_bytes
        self.begin(0)

    def begin(self, head: int) -> None:
        """Empties it; the next event is the one after the head."""
        self._events: list[Entry | None] = [None] * self._size
        self._shared: dict[tuple[int, int, bytes], list[Batch]] = {}
        self._bytes, self.oldest, self.head = 0, head + 1, head

    def extend(self, events: Sequence[Entry]) -> None:
        """Adds the events that follow the head, without a hole."""
        for event in events:
            slot = event.sequence % self._size
            if (last := self._events[slot]) is not None:
                self._bytes -= len(last.encoded)
                self.oldest = last.sequence + 1
            self._events[slot] = event
            self._bytes += len(event.encoded)
            self.head = event.sequence
        while self._bytes > self._max_bytes:
            self._bytes -= len(self._at(self.oldest).encoded)
            self._events[self.oldest % self._size] = None
            self.oldest += 1
        self._shared.clear()

    def batches(self, after: int, size: int, wanted: Selection) -> tuple[list[Batch], int]:
        """The matching ones of the next `size` events, in one batch or more, and the last sequence looked at. Who asks
        the same gets the same objects, until there are new events."""
        through = min(after + size, self.head)
        asked = after, size, wanted.key
        batches = self._shared.get(asked)
        if batches is None:
            events = [self._at(sequence) for sequence in range(after + 1, through + 1)]
            batches = batches_of([event for event in events if wanted.matches(event)], through, size)
            if len(self._shared) < SHARED:
                self._shared[asked] = batches
        return batches, through

    def _at(self, sequence: int) -> Entry:
        event = self._events[sequence % self._size]
        assert event is not None
        assert event.sequence == sequence
        return event
