"""The feed: a ring of the latest events. A subscriber is a cursor and a filter: in the ring it is live, off the ring it
reads pages from PostgreSQL and comes back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from ai_grpc.db import UNAVAILABLE
from ai_grpc.errors import FailedPrecondition, OutOfRange
from ai_grpc.exchange.events import Event, EventFilter
from ai_grpc.exchange.log import LogReader, Page, Replay, position_expired
from ai_grpc.v1 import errors_pb2

AHEAD_WAIT: Final = 1.0
RETRY_WAIT: Final = 0.5

# A quarter of what gRPC clients receive by default.
MAX_BATCH_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """Encoded events; every matching one up to the sequence has been given."""

    sequence: int
    events: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing matched up to the sequence."""

    sequence: int


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What follows is new."""

    sequence: int


@dataclass(frozen=True, slots=True)
class FellBehind:
    """The ring went on without this subscriber."""

    sequence: int
    head: int


@dataclass(frozen=True, slots=True)
class Closing:
    """The stream ends here; `lifetime` tells an old stream from a stopping server."""

    sequence: int
    lifetime: bool


Step = Batch | Heartbeat | CaughtUp | FellBehind | Closing


class Feed:
    """The latest events in memory, and everybody who follows them. `head` is the last sequence it knows."""

    def __init__(self, log: LogReader, *, ring_events: int, ring_bytes: int, lifetime: float) -> None:
        self._log, self._size, self._max_bytes, self._lifetime = log, ring_events, ring_bytes, lifetime
        self._ring: list[Event | None] = [None] * ring_events
        self._bytes = 0
        self._oldest = 1
        self._waiting: set[asyncio.Future[bool]] = set()
        self._wakes = 0
        self._closing = False
        self.epoch = ""
        self.floor = 0
        self.head = 0

    def begin(self, epoch: str, floor: int, head: int) -> None:
        """Starts at the head with an empty ring; who follows another epoch is told so."""
        self._ring = [None] * self._size
        self._bytes, self._oldest = 0, head + 1
        self.epoch, self.floor, self.head = epoch, floor, head
        self._wake()

    def extend(self, events: Sequence[Event]) -> None:
        """Adds the events that follow the head, without a hole."""
        for event in events:
            slot = event.sequence % self._size
            if (last := self._ring[slot]) is not None:
                self._bytes -= len(last.encoded)
                self._oldest = last.sequence + 1
            self._ring[slot] = event
            self._bytes += len(event.encoded)
            self.head = event.sequence
        while self._bytes > self._max_bytes:
            slot = self._oldest % self._size
            self._bytes -= len(self._at(self._oldest).encoded)
            self._ring[slot] = None
            self._oldest += 1
        self._wake()

    def close(self) -> None:
        """Ends every stream with Closing."""
        self._closing = True
        self._wake()

    async def check(self, epoch: str, sequence: int) -> None:
        """Whether one may follow after this position. Raises FailedPrecondition or OutOfRange; a position that another
        replica gave may be ahead of this one for a moment."""
        self._check_epoch(epoch)
        deadline = asyncio.get_running_loop().time() + AHEAD_WAIT
        while sequence > self.head:
            if not await self._wait(deadline):
                raise OutOfRange(
                    errors_pb2.ERROR_REASON_POSITION_AHEAD,
                    f"position {sequence} is ahead of the log, which ends at {self.head}",
                    head=self.head,
                )
        if sequence < self.floor:
            raise position_expired(self.floor)

    async def follow(
        self, after: int, wanted: EventFilter, *, current: bool, batch_size: int, heartbeat: float
    ) -> AsyncGenerator[Step, None]:
        """Every matching event after a position, once, in order, for as long as it is iterated over.

        With `current`, the ACTIVE signals up to the head come first, and `after` is not looked at.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._lifetime * random.uniform(0.9, 1.1)
        epoch, cursor, goal, caught_up = self.epoch, after, self.head, False
        snapshot = goal if current else 0
        due = loop.time() + heartbeat
        with closing(Replay(self._log, wanted)) as replay:
            while True:
                wakes = self._wakes
                self._check_epoch(epoch)
                if self._closing or loop.time() > end:
                    yield Closing(cursor, lifetime=not self._closing)
                    return
                if caught_up and cursor < self._oldest - 1:
                    caught_up, goal = False, self.head
                    yield FellBehind(cursor, goal)
                try:
                    if cursor < snapshot:
                        events, through = await self._log.active(cursor, snapshot, wanted)
                    elif cursor < self._oldest - 1:
                        events, through = await replay.events(cursor, self._oldest - 1)
                    else:
                        events, through = self._latest(cursor, batch_size, wanted)
                except UNAVAILABLE:
                    events, through = [], cursor
                batches = _batches(events, through, batch_size)
                for batch in batches:
                    yield batch
                    due = loop.time() + heartbeat
                progress, cursor = through > cursor, through
                if not caught_up and cursor >= goal:
                    caught_up = True
                    yield CaughtUp(cursor)
                    due = loop.time() + heartbeat
                if loop.time() >= due:
                    yield Heartbeat(cursor)
                    due = loop.time() + heartbeat
                # What woke the others while a step was being sent has been missed here.
                if not progress and wakes == self._wakes:
                    await self._wait(min(due, end) if cursor >= self.head else loop.time() + RETRY_WAIT)
                elif not batches:
                    await asyncio.sleep(0)

    def _latest(self, cursor: int, batch_size: int, wanted: EventFilter) -> Page:
        through = min(cursor + batch_size, self.head)
        events = [self._at(sequence) for sequence in range(cursor + 1, through + 1)]
        return [event for event in events if wanted.matches(event)], through

    def _at(self, sequence: int) -> Event:
        event = self._ring[sequence % self._size]
        assert event is not None
        assert event.sequence == sequence
        return event

    def _check_epoch(self, epoch: str) -> None:
        if epoch != self.epoch:
            raise FailedPrecondition(
                errors_pb2.ERROR_REASON_EPOCH_MISMATCH,
                "the log was restored since; start again with current or earliest",
                epoch=self.epoch,
            )

    def _wake(self) -> None:
        self._wakes += 1
        for waiter in self._waiting:
            _settle(waiter, True)
        self._waiting.clear()

    async def _wait(self, deadline: float) -> bool:
        """Until something happens, or the deadline; False if it was the deadline."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiting.add(waiter)
        timer = loop.call_at(deadline, _settle, waiter, False)
        try:
            return await waiter
        finally:
            timer.cancel()
            self._waiting.discard(waiter)


def _settle(waiter: asyncio.Future[bool], woken: bool) -> None:
    if not waiter.done():
        waiter.set_result(woken)


def _batches(events: Sequence[Event], through: int, size: int) -> list[Batch]:
    """The events in batches; the last one stands for the whole range."""
    batches: list[Batch] = []
    encoded: list[bytes] = []
    last = length = 0
    for event in events:
        if len(encoded) == size or (length + len(event.encoded) > MAX_BATCH_BYTES and encoded):
            batches.append(Batch(last, encoded))
            encoded, length = [], 0
        encoded.append(event.encoded)
        length += len(event.encoded)
        last = event.sequence
    if encoded:
        batches.append(Batch(through, encoded))
    return batches
