"""An error as gRPC carries it: code, text, and the details of google.rpc."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any as Detail
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from ai_grpc.errors import DOMAIN, Error, Violation
from ai_grpc.exchange.events import duration_of

# Bytes: clients take no more than 8 KiB of trailers, and would lose a longer answer whole.
MAX_TEXT: Final = 200
MAX_VIOLATIONS: Final = 3 * 1024


def rich_status(error: Error) -> Status:
    """The status with exactly one ErrorInfo, and BadRequest and RetryInfo where they say something."""
    metadata = {key: _clipped(value) for key, value in error.metadata.items()}
    details: list[Message] = [ErrorInfo(reason=error.reason_name, domain=DOMAIN, metadata=metadata)]
    if error.violations:
        details.append(_bad_request(error.violations))
    if error.retry_delay is not None:
        details.append(RetryInfo(retry_delay=duration_of(error.retry_delay)))
    status = Status(code=grpc.StatusCode[error.status].value[0], message=_clipped(str(error)))
    for message in details:
        detail = Detail()
        detail.Pack(message)
        status.details.append(detail)
    return status


def _bad_request(violations: Sequence[Violation]) -> BadRequest:
    bad_request = BadRequest()
    for violation in violations:
        field, description = _clipped(violation.field), _clipped(violation.description)
        bad_request.field_violations.add(field=field, description=description)
        if bad_request.ByteSize() > MAX_VIOLATIONS:
            break
    return bad_request


def _clipped(text: str) -> str:
    return text.encode()[:MAX_TEXT].decode(errors="ignore")
