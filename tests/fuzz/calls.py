"""One call, and whether its end is one that the contract knows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from ai_grpc.client import error_of_call
from ai_grpc.v1 import errors_pb2
from tests.fuzz.inputs import Input
from tests.fuzz.receiving import receive
from tests.fuzz.surface import Method
from tests.signals import details

# UNAVAILABLE and DEADLINE_EXCEEDED are of the contract too, but not while the database answers and the server is idle.
REFUSALS: Final = frozenset(
    (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    )
)
# As of two who wait for each other, or of a machine that stands still: a client would ask again.
GIVEN_UP: Final = "UNAVAILABLE: the database does not answer, however often it is asked"
ATTEMPTS: Final = 3
CODES: Final = frozenset(code.value[0] for code in REFUSALS)
# The message of a stream that a violation speaks of.
PLACE: Final = re.compile(r"requests\[(\d+)\]")
ERROR: Final = errors_pb2.Error.DESCRIPTOR.full_name
FAULTS: Final = (errors_pb2.ERROR_REASON_UNSPECIFIED, errors_pb2.ERROR_REASON_INTERNAL)
OPTIONS: Final = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended, which of its messages were refused, and what is wrong with that if anything is."""

    status: str
    refused: frozenset[int] = frozenset()
    fault: str = ""

    @property
    def unanswered(self) -> bool:
        """Whether nobody said anything, as of a server that is gone."""
        return self.status == grpc.StatusCode.UNAVAILABLE.name and self.fault not in ("", GIVEN_UP)


async def outcome_of(channel: grpc.aio.Channel, sent: Input) -> Outcome:
    """Makes the call, again if the database did not answer, and looks at all of its answer. An attempt takes
    CALL_SECONDS at most."""
    outcome = await _outcome_of_one(channel, sent)
    if outcome.fault != GIVEN_UP:
        return outcome
    for _ in range(ATTEMPTS):
        again = await _outcome_of_one(channel, sent)
        if again.fault != GIVEN_UP:
            # Nobody knows whether the first one has written anything.
            return Outcome(outcome.status, fault=again.fault)
    return outcome


async def _outcome_of_one(channel: grpc.aio.Channel, sent: Input) -> Outcome:
    responses: list[bytes] = []
    method = sent.method
    status = "OK"
    try:
        await receive(channel, sent, responses)
    except grpc.aio.AioRpcError as error:
        status = error.code().name
        if fault := _refusal_fault(error, sent):
            return Outcome(status, fault=fault)
        if not (method.client_streaming and method.server_streaming):
            return Outcome(status, _refused_requests(error, sent))
    try:
        refused = _refused_messages(method, responses)
    except (DecodeError, AssertionError) as error:
        return Outcome(status, fault=f"a response is wrong: {error}")
    expected = len(sent.messages) if method.server_streaming else 1
    if status == "OK" and method.client_streaming and len(responses) != expected:
        return Outcome(status, fault=f"{len(sent.messages)} messages have {len(responses)} answers")
    return Outcome(status, refused)


def _refusal_fault(error: grpc.aio.AioRpcError, sent: Input) -> str:
    if error.code() is grpc.StatusCode.UNAVAILABLE and error_of_call(error).reason_name == "DATABASE_UNAVAILABLE":
        return GIVEN_UP
    if error.code() not in REFUSALS:
        return f"{error.code().name}: {error.details()}"
    if not sent.method.is_ours:
        return ""
    if _is_too_large(error, sent):
        return ""
    try:
        found = details(error)
    except (AssertionError, ValueError) as wrong:
        return f"{error.code().name} does not carry exactly one ErrorInfo of this service: {wrong}"
    if f"ERROR_REASON_{found.reason}" not in errors_pb2.ErrorReason.keys():  # noqa: SIM118  # no dict
        return f"{error.code().name} has an unknown reason: {found.reason!r}"
    if error.code() is grpc.StatusCode.INVALID_ARGUMENT and not found.fields:
        return f"INVALID_ARGUMENT names no field: {error.details()}"
    return ""


def _is_too_large(error: grpc.aio.AioRpcError, sent: Input) -> bool:
    """Whether gRPC itself says so, without details."""
    return sent.too_large is not None and error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def _refused_requests(error: grpc.aio.AioRpcError, sent: Input) -> frozenset[int]:
    """Which messages are not written for sure. Of those with one answer in all, these are the one at fault and whatever
    comes after it; without its number only a single one is known to be it."""
    count = len(sent.messages)
    if _is_too_large(error, sent):
        return frozenset(range(sent.too_large or 0, count))
    if count == 1 or not sent.method.is_ours or not (found := PLACE.match(" ".join(details(error).fields))):
        return frozenset(range(count) if count == 1 else ())
    return frozenset(range(int(found[1]), count))


def _refused_messages(method: Method, responses: Sequence[bytes]) -> frozenset[int]:
    """Which messages of a stream the responses refuse. Raises AssertionError if one does so without a proper reason."""
    parsed: list[Any] = [method.response.FromString(response) for response in responses]
    field = method.response.DESCRIPTOR.fields_by_name.get("error")
    if field is None or field.message_type is None or field.message_type.full_name != ERROR:
        return frozenset()
    refused = [number for number, response in enumerate(parsed) if response.HasField("error")]
    for number in refused:
        error = parsed[number].error
        assert error.code in CODES, f"code {error.code}: {error.message}"
        assert error.reason in errors_pb2.ErrorReason.values(), f"reason {error.reason}"
        assert error.reason not in FAULTS, f"reason {error.reason}: {error.message}"
    return frozenset(refused)
