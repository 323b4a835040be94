"""The messages of a subscription, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from grpc import aio

from ai_grpc import errors
from ai_grpc.client.channel import Route
from ai_grpc.client.status import FAILURES, error_of_call, may_be_repeated
from ai_grpc.v1 import errors_pb2, streams_pb2

_CONNECT_TIMEOUT: Final = 10.0
_CLOSE_TIMEOUT: Final = 1.0
_MISSED_HEARTBEATS: Final = 3
LONGEST_AHEAD: Final = 15.0


class Stream(NamedTuple):
    """A stream of the service. The requests of all have the same fields but for the filter, and so have the responses
    but for the events; `begins` tells the events that bring something new from those that end it."""

    request: type[Any]
    open: Callable[[aio.Channel], Callable[[Any], Any]]
    begins: Callable[[Any], bool] = lambda event: True


class Messages:
    """Opens the stream with `request()` whenever there is none; a stream that is silent for too long is none.

    `caught_up` is set while the stream is live: while no past event is still to come.
    """

    def __init__(self, route: Route, stream: Stream, request: Callable[[], Any]) -> None:
        self.caught_up = asyncio.Event()
        self._route, self._stream, self._request = route, stream, request
        self._channel: aio.Channel | None = None
        self._call: aio.UnaryStreamCall[Any, Any] | None = None
        self._reading: asyncio.Task[Any] | None = None
        self._patience = _CONNECT_TIMEOUT
        self._ahead_since: float | None = None
        self._closed = False

    async def next(self) -> Any:
        """The next message but Closing. May be cancelled and called again: nothing is lost.

        Raises StopAsyncIteration when it is closed, and the service's errors that no repetition cures.
        """
        while not self._closed:
            try:
                message = await self._read()
            except errors.Error as error:
                await self._disconnect()
                if not (may_be_repeated(error) or self._lags(error)):
                    raise
                self._route.failed(error)
            else:
                self._hear(message)
                return message
        raise StopAsyncIteration

    async def close(self) -> None:
        """Ends the stream; a `next` that waits ends with it."""
        self._closed = True
        await self._disconnect()

    async def _read(self) -> Any:
        if self._reading is None:
            await self._connect()
        call, reading = self._call, self._reading
        assert call is not None
        assert reading is not None
        if not reading.done():
            # A task of its own, so that whoever is tired of waiting for it does not end the stream.
            await asyncio.wait([reading], timeout=self._patience)
        if self._closed:
            raise StopAsyncIteration
        if not reading.done():
            raise _broken(f"the stream was silent for {self._patience:g} s")
        try:
            message = reading.result()
        except FAILURES as failure:
            raise error_of_call(failure) from None
        if message is aio.EOF:
            raise _broken("the server ended the stream")
        if message.HasField("closing"):
            raise _closing(message.closing)
        self._reading = asyncio.ensure_future(call.read())
        return message

    async def _connect(self) -> None:
        self._channel = await self._route.connect()
        self._call = self._stream.open(self._channel)(self._request())
        self._patience = _CONNECT_TIMEOUT
        self._reading = asyncio.ensure_future(self._call.read())

    async def _disconnect(self) -> None:
        self.caught_up.clear()
        reading, self._reading = self._reading, None
        if self._channel is not None and reading is not None:
            await self._channel.close()
            # Not cancelled: the core of gRPC ends it, and would do so later, in a loop that may be closed by then.
            await asyncio.wait([reading], timeout=_CLOSE_TIMEOUT)
            if reading.done() and not reading.cancelled():
                reading.exception()

    def _hear(self, message: Any) -> None:
        match message.WhichOneof("event"):
            case "started":
                interval = message.started.heartbeat_interval
                self._patience = _MISSED_HEARTBEATS * (interval.seconds + interval.nanos / 1e9)
                self._ahead_since = None
                self._route.succeeded()
            case "caught_up":
                self.caught_up.set()
            case "fell_behind":
                self.caught_up.clear()

    def _lags(self, error: errors.Error) -> bool:
        """Whether another replica may know the position already, or this one before long."""
        if error.reason != errors_pb2.ERROR_REASON_POSITION_AHEAD:
            return False
        if self._ahead_since is None:
            self._ahead_since = time.monotonic()
        return time.monotonic() - self._ahead_since < LONGEST_AHEAD


def _closing(closing: streams_pb2.Closing) -> errors.Unavailable:
    delay = closing.retry_delay.seconds + closing.retry_delay.nanos / 1e9
    return errors.Unavailable(errors_pb2.ERROR_REASON_DRAINING, "the server closes the stream", retry_delay=delay)


def _broken(text: str) -> errors.Unavailable:
    return errors.Unavailable(errors_pb2.ERROR_REASON_UNSPECIFIED, text)
