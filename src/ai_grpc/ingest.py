"""Bulk writes by client streaming: while one batch is stored, the next is prepared, and what arrives is gathered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from google.protobuf.message import Message

from ai_grpc.errors import Error, InvalidArgument, miscounted

N = TypeVar("N", bound=Message)
B = TypeVar("B")

MAX_ROWS: Final = 1000
MAX_BYTES: Final = 4 * 1024 * 1024

# Items, and where each was: requests[3].features[7].
Prepare = Callable[[Sequence[N], Sequence[str]], Awaitable[B]]
Store = Callable[[B], Awaitable[None]]


async def ingest(requests: AsyncIterator[Any], field: str, prepare: Prepare[N, B], store: Store[B]) -> int:
    """Stores the items that the requests have in a field, in their order, and returns how many there were.

    A batch has the items of whole requests, at most MAX_ROWS of them in MAX_BYTES unless a single request is larger.
    One is being stored, one prepared, and as much is read ahead at most. Whatever ends this, all that came before a
    request that cannot be read is stored, and nothing is left running.

    Raises InvalidArgument for a request with no items or too many, and what `prepare` and `store` raise.
    """
    inbox: Inbox[N] = Inbox(field)
    reader = asyncio.create_task(inbox.fill(requests))
    storing = asyncio.create_task(asyncio.sleep(0))
    count = 0
    try:
        while batch := await inbox.take():
            try:
                prepared = await prepare([item for item, _ in batch], [place for _, place in batch])
            except Error:
                # Of two that fail, the first is the one to tell of.
                await storing
                raise
            await storing
            storing = asyncio.create_task(_stored(store, prepared))
            storing.add_done_callback(inbox.on_stored)
            count += len(batch)
        await storing
        await reader
        return count
    finally:
        for task in (reader, storing):
            task.cancel()
        await asyncio.gather(reader, storing, return_exceptions=True)


async def _stored(store: Store[B], batch: B) -> None:
    await store(batch)


class Inbox(Generic[N]):
    """The requests that have been read and not been taken."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._requests: list[list[tuple[N, str]]] = []
        self._rows = self._bytes = 0
        self._ended = False
        self._changed = asyncio.Event()

    async def fill(self, requests: AsyncIterator[Any]) -> None:
        """Reads to the end, no faster than is taken."""
        number = 0
        try:
            async for request in requests:
                items, place = getattr(request, self._field), f"requests[{number}].{self._field}"
                if violations := miscounted(place, len(items), 1, MAX_ROWS):
                    raise InvalidArgument(*violations)
                size = request.ByteSize()
                while self._requests and (self._rows + len(items) > MAX_ROWS or self._bytes + size > MAX_BYTES):
                    await self._change()
                self._requests.append([(item, f"{place}[{index}]") for index, item in enumerate(items)])
                self._rows += len(items)
                self._bytes += size
                self._changed.set()
                number += 1
        finally:
            self._ended = True
            self._changed.set()
            if isinstance(requests, AsyncGenerator):
                # Else the loop would do so, after the call.
                await requests.aclose()

    def on_stored(self, stored: asyncio.Task[None]) -> None:
        """Nothing more is taken once something could not be stored, however long the client says nothing."""
        if stored.cancelled() or stored.exception() is not None:
            self._requests, self._ended = [], True
            self._changed.set()

    async def take(self) -> list[tuple[N, str]]:
        """All that is there, once something is; nothing at the end."""
        while not self._requests and not self._ended:
            await self._change()
        taken = [each for request in self._requests for each in request]
        self._requests, self._rows, self._bytes = [], 0, 0
        self._changed.set()
        return taken

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
