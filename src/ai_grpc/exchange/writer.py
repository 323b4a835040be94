"""The append lane: one connection; whatever arrives while an append is in flight goes into the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg

from ai_grpc.db import BAD_VALUE, UNAVAILABLE, Line, load_queries
from ai_grpc.errors import database_unavailable, draining
from ai_grpc.exchange.events import Event
from ai_grpc.exchange.submission import Ack, Submission, arguments_of, overloaded
from ai_grpc.v1 import signals_pb2 as pb

SQL = load_queries("log")

# One by one, each between two calls, the checks take five times as long as one after the other.
CHECKED_TOGETHER: Final = 32

# So many callers are worth waiting for: commits for two or three of them each cost more than they carry.
MANY: Final = 8
TICK: Final = 0.002
LONGEST_GATHERING: Final = 0.01


class SignalWriter:
    """Appends the signals of requests in the order in which they were submitted, many requests in one commit.

    `on_commit` gets the new events of each commit, in order, right after it.
    """

    def __init__(
        self,
        line: Line,
        on_commit: Callable[[list[Event]], None],
        *,
        batch_rows: int,
        queue_rows: int,
        queue_bytes: int,
    ) -> None:
        self._line, self._on_commit = line, on_commit
        self._batch_rows, self._queue_rows, self._queue_bytes = batch_rows, queue_rows, queue_bytes
        self._queue: deque[Submission] = deque()
        self._unchecked: list[Submission] = []
        self._rows = self._bytes = 0
        self._callers, self._wanted = 0, 1
        self._arrived = asyncio.Event()
        # Kept: to ask for the running loop is a system call in Python 3.11.
        self._loop = asyncio.get_running_loop()
        self.closing: asyncio.Future[None] = self._loop.create_future()

    def submit(self, signals: Sequence[pb.Signal]) -> Ack:
        """Queues the signals of a request; its Ack is done after the commit, or raises what `publication` raises.

        Cancelling the Ack before its append begins withdraws it. Raises ResourceExhausted when the queue is full,
        Unavailable when the server stops.
        """
        if self.closing.done():
            raise draining()
        submission = Submission(signals, self._loop.create_future())
        if self._rows + submission.rows > self._queue_rows:
            raise overloaded(f"{self._queue_rows} signals")
        if self._bytes + submission.size > self._queue_bytes:
            raise overloaded(f"{self._queue_bytes} bytes")
        self._rows += submission.rows
        self._bytes += submission.size
        self._queue.append(submission)
        self._unchecked.append(submission)
        if max(len(self._unchecked), submission.rows) >= CHECKED_TOGETHER:
            self._check()
        if len(self._queue) >= self._wanted:
            self._arrived.set()
        return submission.ack

    def close(self) -> None:
        """Takes nothing more; `run` returns when all that was taken is answered."""
        if not self.closing.done():
            self.closing.set_result(None)
        self._arrived.set()

    async def run(self) -> None:
        """Appends until it is closed and empty."""
        try:
            while self._queue or not self.closing.done():
                if self._callers >= MANY:
                    await self._gather(self._callers)
                if batch := self._take():
                    await self._append(batch)
                    self._callers = len(batch) + len(self._queue)
                elif not self._queue:
                    self._callers = 0
                    await self._arrival(1, None)
        finally:
            self._line.drop()
            for submission in self._queue:
                submission.refuse(database_unavailable())

    async def _gather(self, wanted: int) -> None:
        """Waits until so many requests are in the queue: who was answered calls again. Not if a tick brings none."""
        end, known = self._loop.time() + LONGEST_GATHERING, -1
        while known < len(self._queue) < wanted and self._loop.time() < end:
            known = len(self._queue)
            await self._arrival(wanted, TICK)

    async def _arrival(self, wanted: int, seconds: float | None) -> None:
        """Waits until so many are in the queue, or the writer is closed."""
        self._wanted = wanted
        self._arrived.clear()
        if not self.closing.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._arrived.wait()

    def _check(self) -> None:
        for submission in self._unchecked:
            submission.check()
        self._unchecked.clear()

    def _take(self) -> list[Submission]:
        """The next batch: an id occurs in it once, so that a repetition finds the first in the database."""
        self._check()
        batch: list[Submission] = []
        ids: set[str] = set()
        while self._queue:
            submission = self._queue[0]
            if not submission.ack.done():
                own_ids = {row[0] for row in submission.publication.rows}
                if batch and (len(ids) + len(own_ids) > self._batch_rows or not ids.isdisjoint(own_ids)):
                    break
                ids |= own_ids
                batch.append(submission)
            self._queue.popleft()
            self._rows -= submission.rows
            self._bytes -= submission.size
        return batch

    async def _append(self, batch: Sequence[Submission], behind: Sequence[Submission] = ()) -> None:
        requests = [number for number, submission in enumerate(batch) for _ in submission.publication.rows]
        arguments = arguments_of(requests, [row for submission in batch for row in submission.publication.rows])
        try:
            connection = await self._line.get()
            placed = await connection.fetch(SQL["append"], *arguments)
        except BAD_VALUE as error:
            # The checks let something through that the table refuses: only who sent it shall suffer.
            if len(batch) == 1:
                batch[0].refuse(error)
            for number, one in enumerate(batch if len(batch) > 1 else (), 1):
                if not one.ack.done():
                    await self._append([one], batch[number:])
        except (asyncio.CancelledError, *UNAVAILABLE) as error:
            self._line.drop()
            # With all that waits: what comes after must not be written before what will be repeated.
            for submission in (*batch, *behind, *self._queue):
                submission.refuse(database_unavailable())
            if isinstance(error, asyncio.CancelledError):
                raise
        except asyncpg.PostgresError as error:
            for submission in batch:
                submission.refuse(error)
        else:
            self._answer(batch, placed)

    def _answer(self, batch: Sequence[Submission], placed: Sequence[Any]) -> None:
        written: list[tuple[Submission, Sequence[Any]]] = []
        start = 0
        for submission in batch:
            own = placed[start : start + len(submission.publication.rows)]
            start += len(own)
            if submission.answer(own):
                written.append((submission, own))
        # After those who wait for an ack have had their turn.
        self._loop.call_soon(self._tell, written)

    def _tell(self, written: Sequence[tuple[Submission, Sequence[Any]]]) -> None:
        if events := [event for submission, placed in written for event in submission.events(placed)]:
            self._on_commit(events)
