"""Rows and messages: queries take their arguments from the fields of a request, and a row becomes a message by name."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, Final, TypeVar

import asyncpg
from google.protobuf.descriptor import Descriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.db import BAD_VALUE, json_of, load_queries
from ai_grpc.errors import AlreadyExists, InvalidArgument, Violation, missing
from ai_grpc.pagination import page_of, paged
from ai_grpc.v1.periods_pb2 import Period
from ai_grpc.violations import refused

# A parameter of a query is named as the field it comes from; not the casts.
PARAMETER: Final = re.compile(r"(?<!:):([a-z]\w*)")
MAX_ITEMS: Final = 1000
ACQUIRE_TIMEOUT: Final = 5.0

# How many items are converted before others have their turn.
SLICE: Final = 64

# asyncpg sends these as the infinities of PostgreSQL.
MINUS_INFINITY: Final = datetime.min.replace(tzinfo=UTC)
INFINITY: Final = datetime.max.replace(tzinfo=UTC)

# What the database says of a row that it does not take.
REFUSALS: Final = (*BAD_VALUE, asyncpg.IntegrityConstraintViolationError)

M = TypeVar("M", bound=Message)
N = TypeVar("N", bound=Message)


def bound(sql: str) -> tuple[str, tuple[str, ...]]:
    """A query with numbered parameters, and the names of the parameters in the order of the numbers."""
    names = tuple(dict.fromkeys(PARAMETER.findall(sql)))
    return PARAMETER.sub(lambda name: f"${names.index(name[1]) + 1}", sql), names


def message_of(kind: type[M], row: Any) -> M:
    """The message whose fields are the columns of the row that have its names."""
    return kind(**{name: row[name] for name in kind.DESCRIPTOR.fields_by_name})


@dataclass(frozen=True, slots=True)
class Batch:
    """Items that are ready to be written, where each was, the fields of their key and each one's, and the parameters of
    the query: columns, and what is given."""

    query: str
    items: Sequence[Any]
    places: Sequence[str]
    key: Sequence[str]
    keys: Sequence[str]
    columns: Mapping[str, Sequence[object]]
    given: Mapping[str, object]

    def arguments(self, names: Sequence[str], first: int = 0, end: int | None = None) -> list[object]:
        """The arguments of the query for some of the items."""
        return [self.columns[name][first:end] if name in self.columns else self.given[name] for name in names]


class Records:
    """The queries of one noun. Rows are written to and read from `pool`; pages come from `reads`, maybe a replica."""

    def __init__(self, stem: str, pool: asyncpg.Pool, reads: asyncpg.Pool) -> None:
        self._queries = {name: bound(sql) for name, sql in load_queries(stem).items()}
        self._pool, self._reads = pool, reads

    async def row(self, query: str, request: Message, place: str = "", **given: object) -> Any:
        """The first row of a query, or None. Its parameters are `given`, or else fields of the request, which is the
        part of it that `place` names. Raises InvalidArgument for a field that cannot be sent."""
        sql, arguments = self._call(query, request, given, place)
        return await self._pool.fetchrow(sql, *arguments)

    async def rows(self, query: str, request: Message, **given: object) -> list[Any]:
        """All rows of such a query, which bounds their number itself."""
        sql, arguments = self._call(query, request, given)
        return list(await self._reads.fetch(sql, *arguments))

    async def one(self, kind: type[M], query: str, request: Message, key: str, place: str = "", **given: object) -> M:
        """The row of such a query as a message. Raises NotFound for the field `key` of the request if there is none."""
        row = await self.row(query, request, place, **given)
        if row is None:
            raise missing(key, getattr(request, key))
        return message_of(kind, row)

    async def page(self, kind: type[M], query: str, request: Any, **given: object) -> tuple[list[M], str]:
        """A page of messages, and the token of the next. The query has the parameter page_limit, and page_time and
        page_id, or page_number, as parameters and columns."""
        page = page_of(request)
        after = {"page_time": page.after_time, "page_id": page.after_id, "page_number": page.after_number}
        given |= {"page_limit": page.size + 1, **after}
        return paged(await self.rows(query, request, **given), page, lambda row: message_of(kind, row))

    async def write(
        self,
        query: str,
        items: Sequence[N],
        places: str,
        key: Sequence[str] = (),
        exists: Callable[[N], AlreadyExists] | None = None,
        **given: object,
    ) -> Sequence[Any]:
        """Prepares and stores the items that a request has in the field `places`."""
        return await self.store(await self.prepare(query, items, places, key, **given), exists)

    async def prepare(
        self,
        query: str,
        items: Sequence[Message],
        places: str | Sequence[str],
        key: Sequence[str] = (),
        **given: object,
    ) -> Batch:
        """Makes items ready to be written by one statement.

        The query's parameters are `given`, or arrays with an element for each item; `places` is the items' field in the
        request, or where each was; and `key` are the fields that tell them apart, which the query's rows have too; none
        if items may repeat. Raises InvalidArgument for the first item at fault.
        """
        if not 0 < len(items) <= MAX_ITEMS:
            raise InvalidArgument(Violation(str(places), f"must have 1 to {MAX_ITEMS} elements, not {len(items)}"))
        if isinstance(places, str):
            places = [f"{places}[{index}]" for index in range(len(items))]
        keys = _keys(items, places, key)
        names = self._queries[query][1]
        own = {name: _reader(items[0].DESCRIPTOR, name, listed=True) for name in names if name not in given}
        columns: dict[str, list[object]] = {name: [] for name in own}
        for first in range(0, len(items), SLICE):
            await asyncio.sleep(0)
            part = items[first : first + SLICE]
            try:
                for name, read in own.items():
                    columns[name] += [read(item) for item in part]
            except InvalidArgument:
                _find_fault(own.values(), part, places[first:])
                raise
        return Batch(query, items, places, key, keys, columns, given)

    async def store(self, batch: Batch, exists: Callable[[N], AlreadyExists] | None = None) -> Sequence[Any]:
        """Writes all of a batch, or none, and returns the query's rows, which come in any order.

        For an item of which no row comes back, `exists` is raised: it is there with other content. Raises
        InvalidArgument or NotFound for the first item at fault.
        """
        sql, names = self._queries[batch.query]
        try:
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection, connection.transaction():
                rows: Sequence[Any] = await connection.fetch(sql, *batch.arguments(names))
                if exists is not None and len(rows) < len(batch.items):
                    written = {_text(row[name] for name in batch.key) for row in rows}
                    raise next(
                        exists(item) for item, own in zip(batch.items, batch.keys, strict=True) if own not in written
                    )
                return rows
        except REFUSALS as error:
            index, error = await self._first_refused(batch, error)
            raise refused(error, batch.items[index], f"{batch.places[index]}.") from error

    def _call(
        self, query: str, request: Message, given: Mapping[str, object], place: str = ""
    ) -> tuple[str, list[object]]:
        sql, names = self._queries[query]
        readers = {name: _reader(request.DESCRIPTOR, name) for name in names if name not in given}
        try:
            return sql, [readers[name](request) if name in readers else given[name] for name in names]
        except InvalidArgument as error:
            raise _placed(error, place) from error

    async def _first_refused(self, batch: Batch, error: Exception) -> tuple[int, Exception]:
        """Which item the database refuses, found by trying halves in transactions that are rolled back, and why."""
        sql, names = self._queries[batch.query]
        first, end = 0, len(batch.items)
        async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT) as connection:
            while end - first > 1:
                middle = (first + end) // 2
                trial = connection.transaction()
                await trial.start()
                try:
                    await connection.fetch(sql, *batch.arguments(names, first, middle))
                except REFUSALS as reason:
                    end, error = middle, reason
                else:
                    first = middle
                finally:
                    await trial.rollback()
        return first, error


def _find_fault(readers: Collection[Callable[[Any], object]], items: Sequence[Message], places: Sequence[str]) -> None:
    """Raises InvalidArgument for the first item of which a field cannot be sent."""
    for item, place in zip(items, places, strict=False):
        for read in readers:
            try:
                read(item)
            except InvalidArgument as error:
                raise _placed(error, place) from error


def _placed(error: InvalidArgument, place: str) -> InvalidArgument:
    """The error, with the fields named from the request on."""
    if not place:
        return error
    return InvalidArgument(*(Violation(f"{place}.{own.field}", own.description) for own in error.violations))


@cache
def _reader(descriptor: Descriptor, name: str, *, listed: bool = False) -> Callable[[Any], object]:
    """What reads a field of a message as asyncpg sends it: None if it is unset, an enum by its name without the prefix,
    JSON as text. If `listed`, the parameter is an array with an element for each message."""
    field = descriptor.fields_by_name[name]
    if field.is_repeated:
        # An array of arrays could not have some longer than others.
        return lambda message: numbers(name, getattr(message, name)) if listed else list(getattr(message, name))
    if field.enum_type:
        names = {value.number: value.name for value in field.enum_type.values}
        prefix = len(names[0]) - len("UNSPECIFIED")
        return lambda message: names.get(number, str(number))[prefix:] if (number := getattr(message, name)) else None
    if field.message_type:
        convert = CONVERSIONS[field.message_type.full_name]
        return lambda message: convert(name, getattr(message, name)) if message.HasField(name) else None
    if field.has_presence:
        return lambda message: getattr(message, name) if message.HasField(name) else None
    return lambda message: getattr(message, name)


def _keys(items: Sequence[Message], places: Sequence[str], key: Sequence[str]) -> list[str]:
    """The key of each item as text. Raises InvalidArgument if one occurs twice."""
    if not key:
        return []
    keys = [_text(getattr(item, name) for name in key) for item in items]
    first: dict[str, str] = {}
    for own, place in zip(keys, places, strict=True):
        if (other := first.setdefault(own, place)) != place:
            raise InvalidArgument(Violation(f"{place}.{key[-1]}", f"is that of {other} already"))
    return keys


def _text(key: Iterable[object]) -> str:
    """A key as text, with UUIDs as PostgreSQL writes them."""
    return " ".join(str(part).lower() for part in key)


def _time(name: str, time: Timestamp) -> datetime:
    try:
        moment = time.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(Violation(name, "must be a time from the year 1 to 9999")) from error
    if not MINUS_INFINITY < moment < INFINITY:
        raise InvalidArgument(Violation(name, "must not be the first or the last microsecond of the years 1 to 9999"))
    return moment


def _duration(name: str, duration: Duration) -> timedelta:
    try:
        return duration.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(Violation(name, "is too long")) from error


def numbers(name: str, values: Sequence[float]) -> str:
    """A sequence of numbers as JSON. Raises InvalidArgument."""
    text = str(list(values))
    if "n" in text:
        raise InvalidArgument(Violation(name, "holds a number that is not finite"))
    return text


def _json(name: str, struct: Struct) -> str:
    try:
        return json_of(struct)
    except ValueError as error:
        raise InvalidArgument(Violation(name, str(error))) from error


def _period(name: str, period: Period) -> asyncpg.Range:
    first, end = (_date(f"{name}.{field}", getattr(period, field)) for field in ("start_date", "end_date"))
    if first >= end:
        raise InvalidArgument(Violation(f"{name}.end_date", "must be later than start_date"))
    return asyncpg.Range(first, end)


def _date(name: str, text: str) -> date:
    try:
        if len(text) != 10:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgument(
            Violation(name, "must be a day, such as 2026-01-31" if text else "is required")
        ) from error


CONVERSIONS: Final[dict[str, Callable[[str, Any], object]]] = {
    "google.protobuf.Timestamp": _time,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Struct": _json,
    "ai_grpc.v1.Period": _period,
}
