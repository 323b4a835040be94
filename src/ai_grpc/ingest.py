"""Bulk writes by client streaming: while one write is under way, what arrives is gathered for the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from google.protobuf.message import Message

from ai_grpc.errors import InvalidArgument, Violation

N = TypeVar("N", bound=Message)

MAX_ROWS: Final = 1000
MAX_BYTES: Final = 4 * 1024 * 1024

# Items, and where each was: requests[3].features[7].
Write = Callable[[Sequence[N], Sequence[str]], Awaitable[None]]


async def ingest(requests: AsyncIterator[Any], field: str, write: Write[N]) -> int:
    """Writes the items that the requests have in a field, in their order, and returns how many there were.

    A write has the items of whole requests, at most MAX_ROWS of them in MAX_BYTES unless a single request is larger; no
    more are read ahead of it. Whatever ends this, all that came before a request that cannot be read is written, and
    nothing is left running.

    Raises InvalidArgument for a request with no items or too many, and what `write` raises.
    """
    inbox: Inbox[N] = Inbox(field)
    reader = asyncio.create_task(inbox.fill(requests))
    count = 0
    try:
        while batch := await inbox.take():
            await write([item for item, _ in batch], [place for _, place in batch])
            count += len(batch)
        await reader
        return count
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


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
                if not 0 < len(items) <= MAX_ROWS:
                    raise InvalidArgument(Violation(place, f"must have 1 to {MAX_ROWS} elements, not {len(items)}"))
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
