"""What a client streams for one answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from ai_grpc.errors import draining

# Seconds: for which it is read on at most, and without anything.
LINGER: Final = 5.0
SILENCE: Final = 0.5


class Upload:
    """The requests of one call. When it fails while the client is sending, what still comes is read and left: a client
    of gRPC for Python whose write breaks loses the status."""

    def __init__(self, requests: AsyncIterator[Any], parsed: Callable[[Any], Any], closing: asyncio.Event) -> None:
        self._requests, self._parsed, self._closing = requests, parsed, closing
        self._reading: asyncio.Future[Any] | None = None

    async def each(self) -> AsyncIterator[Any]:
        """The requests, parsed. Raises Unavailable when the server is closing, for their answer waits for the last."""
        goodbye = asyncio.create_task(self._closing.wait())
        try:
            while (request := await self._next(goodbye)) is not None:
                yield self._parsed(request)
        finally:
            goodbye.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if isinstance(error, Exception) and not self._closing.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(LINGER):
                        await self._discard()
        finally:
            if self._reading is not None:
                self._reading.cancel()

    async def _discard(self) -> None:
        """Reads to the end. Raises TimeoutError when nothing comes for SILENCE."""
        while True:
            async with asyncio.timeout(SILENCE):
                if await self._next() is None:
                    return

    async def _next(self, *others: asyncio.Task[Any]) -> Any:
        """The next request, None at the end. Raises Unavailable if one of the others is done before."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(anext(self._requests, None))
        await asyncio.wait([self._reading, *others], return_when=asyncio.FIRST_COMPLETED)
        if not self._reading.done():
            raise draining()
        reading, self._reading = self._reading, None
        return reading.result()
