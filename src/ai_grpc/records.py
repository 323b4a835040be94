"""Rows and messages: queries take their arguments from the fields of a request, and a row becomes a message by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import asyncpg
from google.protobuf.message import Message

from ai_grpc.batches import Batch, insert, numbered
from ai_grpc.db import acquired, load_queries
from ai_grpc.errors import AlreadyExists, InvalidArgument, missing, taken
from ai_grpc.exchange.checks import check_range
from ai_grpc.fields import guards, reader
from ai_grpc.pagination import Filling, Order, page_of
from ai_grpc.turns import Turns

# A parameter of a query is named as the field it comes from; not the casts.
PARAMETER: Final = re.compile(r"(?<!:):([a-z]\w*)")
# That of ids alone is the last: rows that are ordered by something else too have ids as well.
ORDERS: Final[tuple[Order, ...]] = ("time", "score", "number", "id")

M = TypeVar("M", bound=Message)
N = TypeVar("N", bound=Message)


def bound(sql: str) -> tuple[str, tuple[str, ...]]:
    """A query with numbered parameters, and the names of the parameters in the order of the numbers."""
    names = tuple(dict.fromkeys(PARAMETER.findall(sql)))
    return PARAMETER.sub(lambda name: f"${names.index(name[1]) + 1}", sql), names


def message_of(kind: type[M], row: Any) -> M:
    """The message whose fields are the columns of the row that have its names."""
    return kind(**{name: row[name] for name in kind.DESCRIPTOR.fields_by_name})


class Records:
    """The queries of one noun. Rows are written to and read from `pool`; pages come from `reads`, maybe a replica."""

    def __init__(self, stem: str, pool: asyncpg.Pool, reads: asyncpg.Pool) -> None:
        self._queries = {name: bound(sql) for name, sql in load_queries(stem).items()}
        self._pool, self._reads = pool, reads

    async def row(self, query: str, request: Message, place: str = "", **given: Any) -> Any:
        """The first row of a query, or None. Its parameters are `given`, or else fields of the request, which is the
        part of it that `place` names. Raises InvalidArgument for a field that cannot be sent."""
        sql, arguments = self._call(query, request, given, place)
        async with acquired(self._pool) as connection:
            return await connection.fetchrow(sql, *arguments)

    async def rows(self, query: str, request: Message, *, fresh: bool = False, **given: Any) -> list[Any]:
        """All rows of such a query, which bounds their number itself; if `fresh`, with all that was written before."""
        sql, arguments = self._call(query, request, given)
        async with acquired(self._pool if fresh else self._reads) as connection:
            return list(await connection.fetch(sql, *arguments))

    async def one(self, kind: type[M], query: str, request: Message, key: str, place: str = "", **given: Any) -> M:
        """The row of such a query as a message. Raises NotFound for the field `key` of the request if there is none."""
        row = await self.row(query, request, place, **given)
        if row is None:
            raise missing(key, getattr(request, key))
        return message_of(kind, row)

    async def create(self, query: str, request: Message, key: str, place: str = "", **given: Any) -> bool:
        """Whether what such a query inserts was there before. Raises AlreadyExists if it was, with other content: then
        the query returns no row; and InvalidArgument also for a field that only the server sets."""
        try:
            for guard in guards(request.DESCRIPTOR, self._queries[query][1]):
                guard(request)
        except InvalidArgument as error:
            raise error.within(place) from None
        row = await self.row(query, request, place, **given)
        if row is None:
            raise taken(key, getattr(request, key))
        return bool(row["duplicate"])

    async def page(self, kind: type[M], query: str, request: Any, **given: Any) -> tuple[list[M], str]:
        """A page of messages, and the token of the next. The query has the parameter page_limit, and page_time or
        page_score and page_id, or page_number, or page_id alone, as parameters and columns."""
        names = self._queries[query][1]
        if "end_time" in names:
            check_range(request)
        page = page_of(request, query, next(order for order in ORDERS if f"page_{order}" in names))
        given |= {"page_time": page.after_time, "page_score": page.after_score, "page_number": page.after_number}
        sql, arguments = self._call(query, request, {**given, "page_id": page.after_id, "page_limit": page.size + 1})
        filling = Filling(page, partial(message_of, kind))
        async with acquired(self._reads) as connection, connection.transaction(readonly=True):
            cursor = await connection.cursor(sql, *arguments)
            turns = Turns()
            while rows := await cursor.fetch(filling.expected):
                for row in rows:
                    if not filling.take(row):
                        return filling.messages, filling.token
                    await turns.after(filling.messages[-1])
        return filling.messages, filling.token

    async def write(
        self,
        query: str,
        items: Sequence[N],
        field: str,
        key: Sequence[str] = (),
        exists: Callable[[N], AlreadyExists] | None = None,
        **given: Any,
    ) -> list[Any]:
        """Writes the items that a request has in a field, of which no two may have the same key: see `prepare`."""
        batch = await self.prepare(query, items, numbered(field, len(items)), key, exists, **given)
        batch.check_unique()
        return await self.store(batch)

    async def prepare(
        self,
        query: str,
        items: Sequence[N],
        places: Sequence[str],
        key: Sequence[str] = (),
        exists: Callable[[N], AlreadyExists] | None = None,
        **given: Any,
    ) -> Batch[N]:
        """Makes items ready to be written by one statement, or by several if a key occurs again, as if one by one.

        The query's parameters are `given`, or arrays with an element for each item. `places` is where each was, and
        `key` are the fields that tell them apart, which the rows have too; none if the query sees to that. For an item
        of which no row comes back, `exists` is raised by `store`: it is there with other content.

        Raises InvalidArgument for the first item at fault.
        """
        batch = Batch(self._queries[query], given, items, places, key, exists)
        await batch.read()
        return batch

    async def store(self, batch: Batch[Any]) -> list[Any]:
        """Writes a batch in one transaction, and returns the rows of the query, which come in any order.

        Raises AlreadyExists, or InvalidArgument or NotFound for the first item at fault, and then nothing is written.
        """
        async with acquired(self._pool) as connection:
            return await insert(connection, batch)

    async def write_with(self, query: str, request: Message, field: str) -> Any:
        """The first row of a query that writes a request together with the items in one of its fields, or nothing.

        Its parameters are arrays with an element for each item, or else fields of the request. Raises InvalidArgument
        or NotFound for the first item at fault, or for the request.
        """
        sql, names = self._queries[query]
        items, fields = getattr(request, field), request.DESCRIPTOR.fields_by_name
        own = {name: reader(request.DESCRIPTOR, name)(request) for name in names if name in fields}
        if not items:
            nothing: dict[str, Any] = {name: [] for name in names if name not in fields}
            return await self.row(query, request, **nothing)
        batch = Batch((sql, names), own, items, numbered(field, len(items), least=0))
        await batch.read()
        async with acquired(self._pool) as connection:
            rows = await insert(connection, batch, within=request)
        return next(iter(rows), None)

    def _call(
        self, query: str, request: Message, given: Mapping[str, object], place: str = ""
    ) -> tuple[str, list[object]]:
        sql, names = self._queries[query]
        readers = {name: reader(request.DESCRIPTOR, name) for name in names if name not in given}
        try:
            return sql, [readers[name](request) if name in readers else given[name] for name in names]
        except InvalidArgument as error:
            raise error.within(place) from None
