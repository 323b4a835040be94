"""Many rows by one statement: all of them are written, or none, and then which one is at fault."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import asyncpg
from google.protobuf.message import Message

from ai_grpc.db import BAD_VALUE
from ai_grpc.errors import AlreadyExists, InvalidArgument, Violation, miscounted
from ai_grpc.fields import Reader, guards, reader
from ai_grpc.turns import BYTES
from ai_grpc.violations import refused

MAX_ITEMS: Final = 1000

# How many items are read before others have their turn; fewer if they are large.
SLICE: Final = 64

N = TypeVar("N", bound=Message)


class Batch(Generic[N]):
    """At least one item, each with its place in the request, as the arguments of the query that writes them."""

    def __init__(
        self,
        query: tuple[str, tuple[str, ...]],
        given: Mapping[str, object],
        items: Sequence[N],
        places: Sequence[str],
        key: Sequence[str] = (),
        exists: Callable[[N], AlreadyExists] | None = None,
    ) -> None:
        self._sql, self._names = query
        self._given, self._key, self._exists = given, key, exists
        self.items, self.places = items, places
        self._columns: list[list[object]] = []
        self._keys: list[tuple[object, ...]] = []

    async def read(self) -> None:
        """Reads the arguments, pausing for others. Raises InvalidArgument for the first item that cannot be sent."""
        descriptor = self.items[0].DESCRIPTOR
        readers = [reader(descriptor, name, listed=True) for name in self._names if name not in self._given]
        key_readers = [reader(descriptor, name) for name in self._key]
        guarded = guards(descriptor, self._names)
        self._columns = [[] for _ in readers]
        for first, end in _slices(self.items):
            await asyncio.sleep(0)
            part = self.items[first:end]
            try:
                # Column by column takes a fifth less than item by item.
                for column, read in zip(self._columns, readers, strict=True):
                    column += map(read, part)
                for guard in guarded:
                    deque(map(guard, part), maxlen=0)
            except InvalidArgument:
                _find_fault(part, self.places[first:], [*readers, *guarded])
                raise
            self._keys += zip(*(map(read, part) for read in key_readers), strict=True)

    def check_unique(self) -> None:
        """Raises InvalidArgument if two items have the same key, if they have one at all."""
        if not self._key:
            return
        first: dict[object, str] = {}
        for key, place in zip(self._keys, self.places, strict=True):
            if (other := first.setdefault(key, place)) != place:
                raise InvalidArgument(Violation(f"{place}.{self._key[-1]}", f"is that of {other} already"))

    async def put(self, connection: asyncpg.Connection, first: int, end: int) -> list[Any]:
        """Writes the items of a range. Raises AlreadyExists, or one of BAD_VALUE."""
        written: list[Any] = []
        for start, stop in self._parts(first, end):
            rows = await connection.fetch(self._sql, *self._arguments(start, stop))
            if self._exists is not None and len(rows) < stop - start:
                found = {tuple(_plain(row[name]) for name in self._key) for row in rows}
                raise self._exists(next(self.items[n] for n in range(start, stop) if self._keys[n] not in found))
            written += rows
        return written

    def _parts(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """The range in parts without a key that occurs twice: no statement could write both."""
        seen: set[object] = set()
        for index in range(first, end if self._key else first):
            if self._keys[index] in seen:
                yield first, index
                first, seen = index, set()
            seen.add(self._keys[index])
        yield first, end

    def _arguments(self, start: int, stop: int) -> list[object]:
        columns = iter(self._columns)
        return [self._given[name] if name in self._given else next(columns)[start:stop] for name in self._names]


def numbered(field: str, count: int, least: int = 1) -> list[str]:
    """Where the items of a request are. Raises InvalidArgument if there are too many or too few."""
    if violations := miscounted(field, count, least, MAX_ITEMS):
        raise InvalidArgument(*violations)
    return [f"{field}[{index}]" for index in range(count)]


async def insert(connection: asyncpg.Connection, batch: Batch[Any], within: Message | None = None) -> list[Any]:
    """Writes all items, or none, and returns the rows of the query. `within` is the message that is written with them.

    Raises AlreadyExists, or InvalidArgument or NotFound for the first item that the database refuses.
    """
    try:
        async with connection.transaction():
            return await batch.put(connection, 0, len(batch.items))
    except BAD_VALUE as error:
        index, reason = await _first_refused(connection, batch, error)
        raise refused(reason, batch.items[index], f"{batch.places[index]}.", within) from error


async def _first_refused(connection: asyncpg.Connection, batch: Batch[Any], reason: Exception) -> tuple[int, Exception]:
    """Which item the database refuses, found by trying halves and undoing that, and why."""
    first, end = 0, len(batch.items)
    while end - first > 1:
        middle = (first + end) // 2
        trial = connection.transaction()
        await trial.start()
        try:
            await batch.put(connection, first, middle)
        except BAD_VALUE as error:
            end, reason = middle, error
        else:
            first = middle
        finally:
            await trial.rollback()
    return first, reason


def _slices(items: Sequence[Message]) -> Iterator[tuple[int, int]]:
    first = size = 0
    for index, item in enumerate(items, 1):
        size += item.ByteSize()
        if index - first == SLICE or size >= BYTES or index == len(items):
            yield first, index
            first, size = index, 0


def _find_fault(items: Sequence[Message], places: Sequence[str], readers: Sequence[Reader]) -> None:
    """Raises InvalidArgument for the first item that cannot be sent."""
    for item, place in zip(items, places, strict=False):
        try:
            for read in readers:
                read(item)
        except InvalidArgument as error:
            raise error.within(place) from None


def _plain(part: object) -> object:
    """A part of a key as messages have it."""
    return str(part) if isinstance(part, UUID) else part
