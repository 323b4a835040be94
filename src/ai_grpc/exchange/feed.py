"""The feed. A subscriber is a cursor and a filter: in the ring of the latest events it is live, off the ring it reads
pages from PostgreSQL and comes back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import closing
from typing import Final

from ai_grpc.db import UNAVAILABLE
from ai_grpc.errors import FailedPrecondition, OutOfRange
from ai_grpc.exchange.entries import Entry, Selection
from ai_grpc.exchange.log import LogReader, Replay, position_expired
from ai_grpc.exchange.ring import Ring
from ai_grpc.exchange.steps import Batch, CaughtUp, Closing, FellBehind, Heartbeat, Step, batches_of
from ai_grpc.exchange.waiter import Waiters
from ai_grpc.v1 import errors_pb2

AHEAD_WAIT: Final = 1.0
RETRY_WAIT: Final = 0.5


class Feed:
    """Everybody who follows the log. `head` is the last sequence that this process knows."""

    def __init__(self, log: LogReader, *, ring_events: int, ring_bytes: int, lifetime: float) -> None:
        self._log, self._ring, self._lifetime = log, Ring(ring_events, ring_bytes), lifetime
        self._waiters = Waiters()
        self._closing = False
        self.epoch = ""
        self.floor = 0

    @property
    def head(self) -> int:
        """The last sequence that this process knows."""
        return self._ring.head

    def begin(self, epoch: str, floor: int, head: int) -> None:
        """Starts at the head with an empty ring; who follows another epoch is told so."""
        self._ring.begin(head)
        self.epoch, self.floor = epoch, floor
        self._waiters.wake()

    def extend(self, events: Sequence[Entry]) -> None:
        """Adds the events that follow the head, without a hole."""
        self._ring.extend(events)
        self._waiters.wake()

    def close(self) -> None:
        """Ends every stream with Closing."""
        self._closing = True
        self._waiters.wake()

    async def check(self, epoch: str, sequence: int) -> None:
        """Whether one may follow after this position. Raises FailedPrecondition or OutOfRange; a position that another
        replica gave may be ahead of this one for a moment."""
        self._check_epoch(epoch)
        deadline = asyncio.get_running_loop().time() + AHEAD_WAIT
        with self._waiters.waiter() as waiter:
            while sequence > self.head:
                if asyncio.get_running_loop().time() >= deadline:
                    raise OutOfRange(
                        errors_pb2.ERROR_REASON_POSITION_AHEAD,
                        f"position {sequence} is ahead of the log, which ends at {self.head}",
                        head=self.head,
                    )
                waiter.clear()
                await waiter.until(deadline)
        if sequence < self.floor:
            raise position_expired(self.floor)

    async def follow(
        self, after: int, wanted: Selection, *, current: bool, batch_size: int, heartbeat: float
    ) -> AsyncGenerator[Step, None]:
        """Every matching event after a position, once, in order, for as long as it is iterated over.

        With `current`, the ACTIVE signals up to the head come first, and `after` is not looked at.
        """
        now = asyncio.get_running_loop().time
        end = now() + self._lifetime * random.uniform(0.9, 1.1)
        epoch, cursor, goal, caught_up = self.epoch, after, self.head, False
        snapshot = goal if current else 0
        due = now() + heartbeat
        with self._waiters.waiter() as waiter, closing(Replay(self._log, wanted)) as replay:
            while True:
                # What happens while a step is being sent counts: see Waiter.until.
                waiter.clear()
                self._check_epoch(epoch)
                if self._closing or now() > end:
                    yield Closing(cursor, lifetime=not self._closing)
                    return
                if caught_up and cursor < self._ring.oldest - 1:
                    caught_up, goal = False, self.head
                    yield FellBehind(cursor, goal)
                try:
                    batches, through = await self._next(cursor, snapshot, batch_size, wanted, replay)
                except UNAVAILABLE:
                    batches, through = [], cursor
                live = through >= self.head
                for batch in batches:
                    yield batch
                    due = now() + heartbeat
                progress, cursor = through > cursor, through
                if not caught_up and cursor >= goal:
                    caught_up = True
                    yield CaughtUp(cursor)
                    due = now() + heartbeat
                if now() >= due:
                    yield Heartbeat(cursor)
                    due = now() + heartbeat
                if live:
                    await waiter.until(min(due, end))
                elif not progress:
                    await waiter.until(now() + RETRY_WAIT)
                elif not batches:
                    await asyncio.sleep(0)

    async def _next(
        self, cursor: int, snapshot: int, size: int, wanted: Selection, replay: Replay
    ) -> tuple[list[Batch], int]:
        """What comes after the cursor, and up to where that is all. Raises one of UNAVAILABLE."""
        if cursor < snapshot:
            events, through = await self._log.active(cursor, snapshot, wanted)
        elif cursor < self._ring.oldest - 1:
            events, through = await replay.events(cursor, self._ring.oldest - 1)
        else:
            return self._ring.batches(cursor, size, wanted)
        return batches_of(events, through, size), through

    def _check_epoch(self, epoch: str) -> None:
        if epoch != self.epoch:
            raise FailedPrecondition(
                errors_pb2.ERROR_REASON_EPOCH_MISMATCH,
                "the log was restored since; start again with current or earliest",
                epoch=self.epoch,
            )
