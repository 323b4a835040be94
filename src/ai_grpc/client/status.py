"""What a failed call or a refused message says, as the exceptions of `ai_grpc.errors`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc import aio

from ai_grpc import errors
from ai_grpc.v1 import errors_pb2 as pb

_DETAILS: Final = "grpc-status-details-bin"
_BROKEN: Final = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
_NAMES: Final = {code.value[0]: code.name for code in grpc.StatusCode}
_KINDS: Final[Mapping[str, type[errors.Error]]] = {
    kind.status: kind
    for kind in (
        errors.NotFound,
        errors.AlreadyExists,
        errors.FailedPrecondition,
        errors.OutOfRange,
        errors.ResourceExhausted,
        errors.Unavailable,
        errors.DeadlineExceeded,
        errors.Internal,
    )
}


# What reading and writing raises when a call fails; InternalError when it breaks in the middle of an operation.
FAILURES: Final = (aio.AioRpcError, aio.InternalError)


def error_of_call(failure: aio.AioRpcError | aio.InternalError) -> errors.Error:
    """What a failed call says. A connection that broke says nothing of its own: it is Unavailable."""
    if isinstance(failure, aio.InternalError):
        return errors.Unavailable(pb.ERROR_REASON_UNSPECIFIED, f"the call broke: {failure}")
    code, text = failure.code(), failure.details() or "no details"
    details = dict(failure.trailing_metadata() or ()).get(_DETAILS)
    if not isinstance(details, bytes):
        if code in _BROKEN:
            return errors.Unavailable(pb.ERROR_REASON_UNSPECIFIED, text.rpartition("last error: ")[2])
        return _error(code.value[0], pb.ERROR_REASON_UNSPECIFIED, text, {}, (), None)
    info, request, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    status = status_pb2.Status.FromString(details)
    for detail in status.details:
        if not detail.Unpack(info) and not detail.Unpack(request):
            detail.Unpack(retry)
    violations = [errors.Violation(each.field, each.description) for each in request.field_violations]
    delay = _seconds(retry.retry_delay) if retry.HasField("retry_delay") else None
    return _error(status.code, _reason(info.reason), status.message, info.metadata, violations, delay)


def error_of_message(refusal: pb.Error) -> errors.Error:
    """What a refused message of a stream says."""
    violations = [errors.Violation(each.field, each.description) for each in refusal.field_violations]
    delay = _seconds(refusal.retry_delay) if refusal.HasField("retry_delay") else None
    return _error(refusal.code, refusal.reason, refusal.message, refusal.metadata, violations, delay)


def may_be_repeated(error: errors.Error) -> bool:
    """Whether the same request may succeed later, or on another replica."""
    return isinstance(error, errors.Unavailable) or error.retry_delay is not None


def _error(
    code: int,
    reason: pb.ErrorReason.ValueType,
    message: str,
    metadata: Mapping[str, str],
    violations: Sequence[errors.Violation],
    retry_delay: float | None,
) -> errors.Error:
    status = _NAMES.get(code, str(code))
    if status == errors.InvalidArgument.status:
        return errors.InvalidArgument(*violations or [errors.Violation("request", message)])
    kind = _KINDS.get(status)
    if kind is None:
        kind, message = errors.Internal, f"{status}: {message}"
    return kind(reason, message, violations=violations, retry_delay=retry_delay, **metadata)


def _reason(name: str) -> pb.ErrorReason.ValueType:
    try:
        return pb.ErrorReason.Value(f"ERROR_REASON_{name}")
    except ValueError:  # One of a later version of the contract.
        return pb.ERROR_REASON_UNSPECIFIED


def _seconds(delay: Duration) -> float:
    return delay.seconds + delay.nanos / 1e9
