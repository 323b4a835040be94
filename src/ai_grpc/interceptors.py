"""What surrounds every call: bounds, the one translation of exceptions to statuses, and the access log."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from grpc_status.rpc_status import to_status

from ai_grpc.db import BAD_VALUE, UNAVAILABLE
from ai_grpc.errors import (
    DeadlineExceeded,
    Error,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    Violation,
    database_unavailable,
)
from ai_grpc.logs import AccessLog
from ai_grpc.statuses import rich_status
from ai_grpc.uploads import Upload
from ai_grpc.v1 import errors_pb2
from ai_grpc.violations import refused

REQUEST_ID: Final = "x-request-id"

logger = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]

# THE table: how an exception that left a handler reads in the contract, looked up along the exception's MRO.
TABLE: Final[dict[type[BaseException], Callable[[Any, Message], Error]]] = {
    **{kind: lambda error, request: database_unavailable() for kind in UNAVAILABLE},
    **{kind: refused for kind in BAD_VALUE},
    Error: lambda error, request: error,
    Exception: lambda error, request: Internal(errors_pb2.ERROR_REASON_INTERNAL, "the server has a fault"),
}


class Malformed:
    """Stands for a request whose bytes are not a message."""


class GuardedServer:
    """Stands in for the server when servicers are added, and wraps each of their handlers once: it has a request id and
    a line in the log, answers every exception by the table, and calls with one answer are bounded in number and time.

    A grpc.aio interceptor would look up every call's handler anew, for a tenth of what an empty call costs.
    """

    def __init__(
        self,
        server: grpc.aio.Server,
        access_log: AccessLog | None,
        *,
        max_calls: int,
        timeout: float,
        lifetime: float,
        closing: asyncio.Event,
    ) -> None:
        self._server, self._access_log, self._closing = server, access_log, closing
        self._max_calls, self._timeout, self._lifetime = max_calls, timeout, lifetime
        self._calls = 0

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """What the generated code calls with the same handlers once more."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Adds the handlers of a service, wrapped."""
        wrapped = {name: self._wrap(f"/{service}/{name}", handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, wrapped),))

    def _wrap(self, method: str, handler: Any) -> Any:
        changes: dict[str, Any] = {"request_deserializer": _parser(handler.request_deserializer)}
        if not handler.response_streaming and handler.request_streaming:
            changes["stream_unary"] = self._unary(method, self._upload(handler.stream_unary), self._lifetime)
        elif not handler.response_streaming:
            changes["unary_unary"] = self._unary(method, _parsing(handler.unary_unary), self._timeout)
        elif handler.request_streaming:
            changes["stream_stream"] = self._stream(method, handler.stream_stream, _each_parsed)
        else:
            changes["unary_stream"] = self._stream(method, handler.unary_stream, _parsed)
            # A handler that has encoded its messages itself yields bytes.
            changes["response_serializer"] = _serialize
        return handler._replace(**changes)

    def _unary(
        self, method: str, inner: Callable[[Any, Context], Awaitable[Any]], timeout: float
    ) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: Context) -> Any:
            with Access(self._access_log, method, context) as access:
                if self._calls >= self._max_calls:
                    await access.abort(_overloaded(self._max_calls))
                self._calls += 1
                try:
                    async with asyncio.timeout(timeout) as bound:
                        return await inner(request, context)
                except grpc.aio.AbortError:
                    raise
                except Exception as exception:  # the table has an answer to each; only cancellation passes
                    error = access.error_of(_too_long(timeout) if bound.expired() else exception, request)
                    # What aborts is held until the next collection of garbage, and so would be the request.
                    request = None
                    await access.abort(error)
                finally:
                    self._calls -= 1

        return call

    def _upload(self, inner: Callable[..., Awaitable[Any]]) -> Callable[[Any, Context], Awaitable[Any]]:
        async def call(requests: AsyncIterator[Any], context: Context) -> Any:
            async with Upload(requests, _parsed, self._closing) as upload:
                return await inner(upload.each(), context)

        return call

    def _stream(
        self, method: str, inner: Callable[..., AsyncIterator[Any]], parsed: Callable[[Any], Any]
    ) -> Callable[..., AsyncIterator[Any]]:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            with Access(self._access_log, method, context) as access:
                try:
                    # Every handler of a stream here is an asynchronous generator, which the stubs cannot say.
                    async with aclosing(inner(parsed(request), context)) as responses:  # type: ignore[type-var]
                        async for response in responses:
                            yield response
                except grpc.aio.AbortError:
                    raise
                except Exception as exception:  # as above
                    error = access.error_of(exception, request)
                    request = None
                    await access.abort(error)

        return call


class Access:
    """One call, as the log shows it: method, status, milliseconds, peer and request id."""

    def __init__(self, access_log: AccessLog | None, method: str, context: Context) -> None:
        self._access_log, self._method, self._context = access_log, method, context
        self._started = time.perf_counter()
        given = next((value for key, value in context.invocation_metadata() or () if key == REQUEST_ID), None)
        if isinstance(given, str) and 0 < len(given) <= 64:
            self._request_id = given
            context.set_trailing_metadata(((REQUEST_ID, given),))
        else:
            self._request_id = f"{random.getrandbits(64):016x}"
        # Asked now: a stream that was cancelled in a write is closed after its call is freed, and grpc would crash.
        self._peer = context.peer()
        self._status = "OK"

    def error_of(self, exception: Exception, request: Any) -> Error:
        """What the table says of an exception, which lets go of the frames that it came through."""
        message = request if isinstance(request, Message) else Empty()
        error = next(TABLE[kind] for kind in type(exception).__mro__ if kind in TABLE)(exception, message)
        if isinstance(error, Internal):
            logger.error("%s %s", self._method, self._request_id, exc_info=exception)
            error.metadata = {"request_id": self._request_id}
        exception.__traceback__ = exception.__context__ = exception.__cause__ = None
        return error

    async def abort(self, error: Error) -> NoReturn:
        """Ends the call with an error and the request id."""
        self._status = f"{error.status} {error.reason_name}"
        status = to_status(rich_status(error))
        metadata = (*status.trailing_metadata, (REQUEST_ID, self._request_id))
        await self._context.abort(status.code, status.details, metadata)
        raise AssertionError("abort returned")

    def __enter__(self) -> Access:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and not issubclass(kind, grpc.aio.AbortError):
            self._status = "CANCELLED"
        seconds = time.perf_counter() - self._started
        if self._access_log is not None:
            self._access_log.add(self._method, self._status, seconds, self._peer, self._request_id)


def _parser(parse: Callable[[bytes], Message]) -> Callable[[bytes], Message | Malformed]:
    def parse_or_mark(data: bytes) -> Message | Malformed:
        try:
            return parse(data)
        except DecodeError:
            return Malformed()

    return parse_or_mark


def _parsed(request: Any) -> Any:
    """The request. Raises InvalidArgument when its bytes are not a message."""
    if type(request) is Malformed:
        raise InvalidArgument(
            Violation("request", "cannot be parsed: it is no message of this method, or nested too deep")
        )
    return request


def _parsing(inner: Callable[..., Awaitable[Any]]) -> Callable[[Any, Context], Awaitable[Any]]:
    return lambda request, context: inner(_parsed(request), context)


async def _each_parsed(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _parsed(request)


def _serialize(response: Message | bytes) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()


def _overloaded(limit: int) -> ResourceExhausted:
    return ResourceExhausted(
        errors_pb2.ERROR_REASON_OVERLOADED, f"{limit} calls are under way", retry_delay=0.1, limit=limit
    )


def _too_long(timeout: float) -> DeadlineExceeded:
    return DeadlineExceeded(errors_pb2.ERROR_REASON_DEADLINE_EXCEEDED, f"the call took longer than {timeout:g} s")
