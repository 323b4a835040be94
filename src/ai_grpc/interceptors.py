"""What surrounds every call: bounds, the one translation of exceptions to statuses, and the access log."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, NoReturn

import asyncpg
import grpc
from google.protobuf.any_pb2 import Any as Detail
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status.rpc_status import to_status

from ai_grpc.db import BAD_VALUE, UNAVAILABLE
from ai_grpc.errors import (
    DOMAIN,
    DeadlineExceeded,
    Error,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    Violation,
    database_unavailable,
)
from ai_grpc.exchange.events import duration_of
from ai_grpc.logs import AccessLog
from ai_grpc.v1 import errors_pb2
from ai_grpc.violations import unstorable, violated_constraint

REQUEST_ID: Final = "x-request-id"

# Characters, and bytes: clients take no more than 8 KiB of trailers, and would lose a longer answer whole.
MAX_TEXT: Final = 200
MAX_VIOLATIONS: Final = 3 * 1024

logger = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]

# THE table: how an exception that left a handler reads in the contract, looked up along the exception's MRO.
TABLE: Final[dict[type[BaseException], Callable[[Any, Message], Error]]] = {
    **{kind: lambda error, request: database_unavailable() for kind in UNAVAILABLE},
    **{kind: lambda error, request: unstorable(request) for kind in BAD_VALUE},
    asyncpg.IntegrityConstraintViolationError: violated_constraint,
    Error: lambda error, request: error,
    Exception: lambda error, request: Internal(errors_pb2.ERROR_REASON_INTERNAL, "the server has a fault"),
}


class Malformed:
    """Stands for a request whose bytes are not a message."""


class GuardedServer:
    """Stands in for the server when servicers are added, and wraps each of their handlers once: it has a request id and
    a line in the log, answers every exception by the table, and unary calls are bounded in number and time.

    A grpc.aio interceptor would look up every call's handler anew, for a tenth of what an empty call costs.
    """

    def __init__(self, server: grpc.aio.Server, access_log: AccessLog, *, max_calls: int, timeout: float) -> None:
        self._server, self._access_log = server, access_log
        self._max_calls, self._timeout = max_calls, timeout
        self._calls = 0

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """What the generated code calls with the same handlers once more."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Adds the handlers of a service, wrapped."""
        wrapped = {name: self._wrap(f"/{service}/{name}", handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, wrapped),))

    def _wrap(self, method: str, handler: Any) -> Any:
        changes: dict[str, Any] = {"request_deserializer": _parser(handler.request_deserializer)}
        if not handler.response_streaming:
            changes["unary_unary"] = self._unary(method, handler.unary_unary)
        elif handler.request_streaming:
            changes["stream_stream"] = self._stream(method, handler.stream_stream)
        else:
            changes["unary_stream"] = self._stream(method, handler.unary_stream)
            # A handler that has encoded its messages itself yields bytes.
            changes["response_serializer"] = _serialize
        return handler._replace(**changes)

    def _unary(self, method: str, inner: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: Context) -> Any:
            with Access(self._access_log, method, context) as access:
                if self._calls >= self._max_calls:
                    await access.abort(_overloaded(self._max_calls), request)
                self._calls += 1
                try:
                    async with asyncio.timeout(self._timeout) as bound:
                        return await inner(_parsed(request), context)
                except grpc.aio.AbortError:
                    raise
                except Exception as error:  # the table has an answer to each; only cancellation passes
                    await access.abort(_too_long(self._timeout) if bound.expired() else error, request)
                finally:
                    self._calls -= 1

        return call

    def _stream(self, method: str, inner: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            with Access(self._access_log, method, context) as access:
                try:
                    # Every handler of a stream here is an asynchronous generator, which the stubs cannot say.
                    async with aclosing(inner(_parsed(request), context)) as responses:  # type: ignore[type-var]
                        async for response in responses:
                            yield response
                except grpc.aio.AbortError:
                    raise
                except Exception as error:  # as above
                    await access.abort(error, request)

        return call


class Access:
    """One call, as the log shows it: method, status, milliseconds, peer and request id."""

    def __init__(self, access_log: AccessLog, method: str, context: Context) -> None:
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

    async def abort(self, exception: Exception, request: Any) -> NoReturn:
        """Ends the call with what the table says of the exception, and with the request id."""
        error = _translate(exception, request)
        if isinstance(error, Internal):
            logger.error("%s %s", self._method, self._request_id, exc_info=exception)
            error.metadata = {"request_id": self._request_id}
        self._status = f"{error.status} {error.reason_name}"
        status = to_status(_rich_status(error))
        metadata = (*status.trailing_metadata, (REQUEST_ID, self._request_id))
        await self._context.abort(status.code, status.details, metadata)
        raise AssertionError("abort returned")

    def __enter__(self) -> Access:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and not issubclass(kind, grpc.aio.AbortError):
            self._status = "CANCELLED"
        milliseconds = (time.perf_counter() - self._started) * 1000
        self._access_log.add(f"{self._method} {self._status} {milliseconds:.1f}ms {self._peer} {self._request_id}")


def _translate(exception: Exception, request: Any) -> Error:
    message = request if isinstance(request, Message) else ErrorInfo()
    return next(TABLE[kind] for kind in type(exception).__mro__ if kind in TABLE)(exception, message)


def _rich_status(error: Error) -> Status:
    metadata = {key: value[:MAX_TEXT] for key, value in error.metadata.items()}
    details: list[Message] = [ErrorInfo(reason=error.reason_name, domain=DOMAIN, metadata=metadata)]
    if error.violations:
        details.append(_bad_request(error.violations))
    if error.retry_delay is not None:
        details.append(RetryInfo(retry_delay=duration_of(error.retry_delay)))
    status = Status(code=grpc.StatusCode[error.status].value[0], message=str(error)[:MAX_TEXT])
    for message in details:
        detail = Detail()
        detail.Pack(message)
        status.details.append(detail)
    return status


def _bad_request(violations: Sequence[Violation]) -> BadRequest:
    bad_request = BadRequest()
    for violation in violations:
        bad_request.field_violations.add(field=violation.field, description=violation.description[:MAX_TEXT])
        if bad_request.ByteSize() > MAX_VIOLATIONS:
            break
    return bad_request


def _parser(parse: Callable[[bytes], Message]) -> Callable[[bytes], Message | Malformed]:
    def parse_or_mark(data: bytes) -> Message | Malformed:
        try:
            return parse(data)
        except DecodeError:
            return Malformed()

    return parse_or_mark


def _parsed(request: Any) -> Any:
    """The request, or the stream of them. Raises InvalidArgument when its bytes are not a message."""
    if isinstance(request, Malformed):
        raise _unparsable()
    return _each_parsed(request) if hasattr(request, "__aiter__") else request


async def _each_parsed(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        if isinstance(request, Malformed):
            raise _unparsable()
        yield request


def _serialize(response: Message | bytes) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()


def _unparsable() -> InvalidArgument:
    return InvalidArgument(
        Violation("request", "cannot be parsed: it is no message of this method, or nested too deep")
    )


def _overloaded(limit: int) -> ResourceExhausted:
    return ResourceExhausted(
        errors_pb2.ERROR_REASON_OVERLOADED, f"{limit} calls are under way", retry_delay=0.1, limit=limit
    )


def _too_long(timeout: float) -> DeadlineExceeded:
    return DeadlineExceeded(errors_pb2.ERROR_REASON_DEADLINE_EXCEEDED, f"the call took longer than {timeout:g} s")
