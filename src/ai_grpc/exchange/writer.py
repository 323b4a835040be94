"""The append lane: one connection; whatever arrives while an append is in flight goes into the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import asyncpg

from ai_grpc.db import BAD_VALUE, UNAVAILABLE, Line, load_queries
from ai_grpc.errors import (
    AlreadyExists,
    Error,
    FailedPrecondition,
    NotFound,
    ResourceExhausted,
    database_unavailable,
    draining,
)
from ai_grpc.exchange.checks import Publication
from ai_grpc.exchange.events import Event, length_delimited, timestamp_of, varint
from ai_grpc.v1 import errors_pb2
from ai_grpc.v1 import signals_pb2 as pb

SQL = load_queries("log")

# A call takes several passes of the event loop from its arrival to the queue.
QUIET_PASSES: Final = 16
LONGEST_GATHERING: Final = 0.006


class Placed(NamedTuple):
    """Where a signal was first published, and whether that was before this request."""

    sequence: int
    duplicate: bool


Ack = asyncio.Future[list[Placed]]


class SignalWriter:
    """Appends publications in the order in which they were submitted, many in one commit.

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
        self._queue: deque[tuple[Publication, Ack]] = deque()
        self._rows = self._bytes = 0
        self._crowded = False
        self._arrived = asyncio.Event()
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def submit(self, publication: Publication) -> Ack:
        """Queues a publication; its Ack is done after the commit. Cancelling the Ack before its append begins withdraws
        it. Raises ResourceExhausted when the queue is full, Unavailable when the server stops."""
        if self.closing.done():
            raise draining()
        if self._rows + len(publication.rows) > self._queue_rows:
            raise _overloaded(f"{self._queue_rows} signals")
        if self._bytes + publication.size > self._queue_bytes:
            raise _overloaded(f"{self._queue_bytes} bytes")
        self._rows += len(publication.rows)
        self._bytes += publication.size
        ack: Ack = asyncio.get_running_loop().create_future()
        self._queue.append((publication, ack))
        self._arrived.set()
        return ack

    def close(self) -> None:
        """Takes nothing more; `run` returns when all that was taken is answered."""
        if not self.closing.done():
            self.closing.set_result(None)
        self._arrived.set()

    async def run(self) -> None:
        """Appends until it is closed and empty."""
        try:
            while self._queue or not self.closing.done():
                if self._queue and self._crowded:
                    await self._gather()
                if batch := self._take():
                    self._crowded = len(batch) > 1
                    await self._append(batch)
                elif not self._queue:
                    self._arrived.clear()
                    if not self.closing.done():
                        await self._arrived.wait()
        finally:
            self._line.drop()
            for _, ack in self._queue:
                if not ack.done():
                    ack.set_exception(database_unavailable())

    async def _gather(self) -> None:
        """Lets the calls that have reached the process reach the queue: of commits for two or three, when many call,
        each would cost more than it carries. It ends when nothing comes any more, so nobody waits for a timer, and a
        call that is alone does not wait at all."""
        loop = asyncio.get_running_loop()
        end, quiet = loop.time() + LONGEST_GATHERING, 0
        while quiet < QUIET_PASSES and loop.time() < end:
            known = len(self._queue)
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._queue) == known else 0

    def _take(self) -> list[tuple[Publication, Ack]]:
        """The next batch: an id occurs in it once, so that a repetition finds the first in the database."""
        batch: list[tuple[Publication, Ack]] = []
        ids: set[str] = set()
        rows = 0
        while self._queue:
            publication, ack = self._queue[0]
            if not ack.done():
                own_ids = {row[0] for row in publication.rows}
                if batch and (rows + len(own_ids) > self._batch_rows or not ids.isdisjoint(own_ids)):
                    break
                ids |= own_ids
                rows += len(own_ids)
                batch.append((publication, ack))
            self._queue.popleft()
            self._rows -= len(publication.rows)
            self._bytes -= publication.size
        return batch

    async def _append(self, batch: Sequence[tuple[Publication, Ack]]) -> None:
        requests = [number for number, (publication, _) in enumerate(batch) for _ in publication.rows]
        columns = zip(*(row for publication, _ in batch for row in publication.rows), strict=True)
        try:
            connection = await self._line.get()
            placed = await connection.fetch(SQL["append"], requests, *columns)
        except BAD_VALUE as error:
            # The checks let something through that the table refuses: only who sent it shall suffer.
            if len(batch) == 1:
                self._refuse(batch, error)
            else:
                for one in batch:
                    await self._append([one])
        except (asyncio.CancelledError, *UNAVAILABLE) as error:
            self._line.drop()
            # With all that waits: what comes after must not be written before what will be repeated.
            self._refuse([*batch, *self._queue], database_unavailable())
            if isinstance(error, asyncio.CancelledError):
                raise
        except asyncpg.PostgresError as error:
            self._refuse(batch, error)
        else:
            self._answer(batch, placed)

    def _refuse(self, batch: Sequence[tuple[Publication, Ack]], error: Exception) -> None:
        for _, ack in batch:
            if not ack.done():
                ack.set_exception(error)

    def _answer(self, batch: Sequence[tuple[Publication, Ack]], placed: Sequence[Any]) -> None:
        written: list[tuple[Publication, Sequence[Any]]] = []
        start = 0
        for publication, ack in batch:
            own = placed[start : start + len(publication.rows)]
            start += len(own)
            refusal = _refusal(publication, own)
            if refusal is None:
                written.append((publication, own))
            if ack.done():
                continue
            if refusal is None:
                ack.set_result([Placed(sequence, duplicate) for sequence, _, duplicate, _ in own])
            else:
                ack.set_exception(refusal)
        # After those who wait for an ack have had their turn.
        asyncio.get_running_loop().call_soon(self._tell, written)

    def _tell(self, written: Sequence[tuple[Publication, Sequence[Any]]]) -> None:
        if events := [event for publication, placed in written for event in _events(publication, placed)]:
            self._on_commit(events)


def _events(publication: Publication, placed: Sequence[Any]) -> list[Event]:
    """The events of the signals that were new, spliced: a SignalEvent's fields 1 to 4, and in its signal, field 17 last
    of all."""
    events: list[Event] = []
    for signal, encoded, (sequence, time, duplicate, _) in zip(
        publication.signals, publication.encoded, placed, strict=True
    ):
        if duplicate:
            continue
        commit_time, create_time = _encoded_times(time)
        event = b"".join(
            (b"\x08", varint(sequence), b"\x10\x01", commit_time, length_delimited(4, encoded + create_time))
        )
        events.append(
            Event(
                sequence,
                pb.SignalEvent.KIND_PUBLISHED,
                signal.symbol,
                signal.model_id,
                signal.signal_type,
                signal.confidence,
                length_delimited(1, event),
            )
        )
    return events


@lru_cache(maxsize=16)
def _encoded_times(time: datetime) -> tuple[bytes, bytes]:
    """The commit_time of an event, and the create_time of its signal, which are one."""
    encoded = timestamp_of(time).SerializeToString()
    return length_delimited(3, encoded), b"\x8a\x01" + varint(len(encoded)) + encoded


def _refusal(publication: Publication, placed: Sequence[Any]) -> Error | None:
    """Why the publication was not written, if it was not."""
    for row, (sequence, _, _, fault) in zip(publication.rows, placed, strict=True):
        if fault is not None:
            return _error_of(fault, signal_id=row[0], model_id=row[1], sequence=sequence)
    return None


def _error_of(fault: str, *, signal_id: str, model_id: str, sequence: int) -> Error:
    if fault == "MODEL_NOT_FOUND":
        return NotFound(errors_pb2.ERROR_REASON_MODEL_NOT_FOUND, f"model {model_id} does not exist", model_id=model_id)
    if fault == "MODEL_INACTIVE":
        return FailedPrecondition(
            errors_pb2.ERROR_REASON_MODEL_INACTIVE, f"model {model_id} is not active", model_id=model_id
        )
    return AlreadyExists(
        errors_pb2.ERROR_REASON_SIGNAL_EXISTS,
        f"signal {signal_id} was published with other content",
        signal_id=signal_id,
        sequence=sequence,
    )


def _overloaded(limit: str) -> ResourceExhausted:
    return ResourceExhausted(
        errors_pb2.ERROR_REASON_OVERLOADED, f"{limit} are waiting to be written", retry_delay=0.1, limit=limit
    )
