"""What can go wrong, in the words of the contract, without gRPC.

Error
├── InvalidArgument      one or more fields are at fault
├── NotFound
├── AlreadyExists
├── FailedPrecondition
├── OutOfRange           a position outside the log
├── ResourceExhausted    a bound was reached
├── DeadlineExceeded     it took too long
├── Unavailable          try again
└── Internal             a fault of the server

ConfigurationError       the program cannot start like this; the text says what to do
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ai_grpc.v1 import errors_pb2 as pb

DOMAIN = "ai_grpc"

# Seconds: long enough for a balancer to notice, short beside a bar of prices.
DRAIN_DELAY = 0.2


@dataclass(frozen=True, slots=True)
class Violation:
    """A field, as the path from the request, and what is wrong with it."""

    field: str
    description: str


class Error(Exception):
    """An answer that is not the one asked for: a canonical status, a reason, and what belongs to the reason."""

    status: ClassVar[str]

    def __init__(
        self,
        reason: pb.ErrorReason.ValueType,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        retry_delay: float | None = None,
        **metadata: object,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.violations = violations
        self.retry_delay = retry_delay
        self.metadata: Mapping[str, str] = {key: str(value) for key, value in metadata.items()}

    @property
    def reason_name(self) -> str:
        """The reason without its prefix, as ErrorInfo carries it."""
        return pb.ErrorReason.Name(self.reason).removeprefix("ERROR_REASON_")


class InvalidArgument(Error):
    """One or more fields are at fault."""

    status = "INVALID_ARGUMENT"

    def __init__(self, *violations: Violation) -> None:
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        message = f"{violations[0].field} {violations[0].description}{more}"
        super().__init__(pb.ERROR_REASON_INVALID_FIELD, message, violations=violations)

    def within(self, place: str) -> InvalidArgument:
        """The same of a part of the request, with the fields named from the request on."""
        if not place:
            return self
        return InvalidArgument(*(Violation(f"{place}.{own.field}", own.description) for own in self.violations))


class NotFound(Error):
    """What was asked for does not exist."""

    status = "NOT_FOUND"


class AlreadyExists(Error):
    """It exists, with other content."""

    status = "ALREADY_EXISTS"


class FailedPrecondition(Error):
    """The state of something forbids it."""

    status = "FAILED_PRECONDITION"


class OutOfRange(Error):
    """A position lies outside the log."""

    status = "OUT_OF_RANGE"


class ResourceExhausted(Error):
    """A bound was reached."""

    status = "RESOURCE_EXHAUSTED"


class Unavailable(Error):
    """The service cannot answer now; repeating is safe."""

    status = "UNAVAILABLE"


class DeadlineExceeded(Error):
    """The call took too long."""

    status = "DEADLINE_EXCEEDED"


class Internal(Error):
    """A fault of the server, logged there."""

    status = "INTERNAL"


# What a key of a message leads to, and the reason that says that it leads nowhere.
MISSING: Mapping[str, tuple[str, pb.ErrorReason.ValueType]] = {
    "model_id": ("model", pb.ERROR_REASON_MODEL_NOT_FOUND),
    "signal_id": ("signal", pb.ERROR_REASON_SIGNAL_NOT_FOUND),
    "session_id": ("training session", pb.ERROR_REASON_TRAINING_SESSION_NOT_FOUND),
    "run_id": ("optimization run", pb.ERROR_REASON_OPTIMIZATION_RUN_NOT_FOUND),
    "analysis_id": ("spectrum analysis", pb.ERROR_REASON_SPECTRUM_ANALYSIS_NOT_FOUND),
    "anomaly_id": ("anomaly", pb.ERROR_REASON_ANOMALY_NOT_FOUND),
}


# The reason that says that there is something else under a key that a caller made.
TAKEN: Mapping[str, tuple[str, pb.ErrorReason.ValueType]] = {
    "session_id": ("training session", pb.ERROR_REASON_TRAINING_SESSION_EXISTS),
    "run_id": ("optimization run", pb.ERROR_REASON_OPTIMIZATION_RUN_EXISTS),
    "analysis_id": ("spectrum analysis", pb.ERROR_REASON_SPECTRUM_ANALYSIS_EXISTS),
    "anomaly_id": ("anomaly", pb.ERROR_REASON_ANOMALY_EXISTS),
    "performance_id": ("evaluation", pb.ERROR_REASON_EVALUATION_EXISTS),
}


# The reason that says that what is under a key has ended.
ENDED: Mapping[str, tuple[str, pb.ErrorReason.ValueType]] = {
    "session_id": ("training session", pb.ERROR_REASON_TRAINING_SESSION_ENDED),
    "run_id": ("optimization run", pb.ERROR_REASON_OPTIMIZATION_RUN_ENDED),
}


class ConfigurationError(Exception):
    """The program cannot start like this; the text says, in one line, what is wrong and what to do."""


def miscounted(field: str, count: int, least: int, most: int) -> list[Violation]:
    """What is wrong with how many elements a field has; nothing if they are right."""
    return [] if least <= count <= most else [Violation(field, f"must have {least} to {most} elements, not {count}")]


def missing(key: str, value: str) -> NotFound:
    """There is nothing with this key."""
    noun, reason = MISSING[key]
    metadata: dict[str, Any] = {key: value}
    return NotFound(reason, f"{noun} {value} does not exist", **metadata)


def taken(key: str, value: str) -> AlreadyExists:
    """There is something with this key, and with other content."""
    noun, reason = TAKEN[key]
    metadata: dict[str, Any] = {key: value}
    return AlreadyExists(reason, f"{noun} {value} is there with other content; take a new id", **metadata)


def ended(key: str, value: str, state: str, why: str) -> FailedPrecondition:
    """What there is with this key has ended, in this state."""
    noun, reason = ENDED[key]
    metadata: dict[str, Any] = {key: value, "state": state}
    return FailedPrecondition(reason, f"{noun} {value} is {state} already{why and f' ({why})'}", **metadata)


def database_unavailable() -> Unavailable:
    """The database does not answer; what was sent may have been written."""
    return Unavailable(
        pb.ERROR_REASON_DATABASE_UNAVAILABLE, "the database does not answer; repeat under the same ids", retry_delay=0.5
    )


def busy() -> ResourceExhausted:
    """All connections to the database have been in use for as long as one may wait; nothing was written."""
    return ResourceExhausted(pb.ERROR_REASON_OVERLOADED, "all connections to the database are in use", retry_delay=0.5)


def draining() -> Unavailable:
    """The server says goodbye."""
    return Unavailable(
        pb.ERROR_REASON_DRAINING, "the server ends this stream or is stopping; connect again", retry_delay=DRAIN_DELAY
    )
