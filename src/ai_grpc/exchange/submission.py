"""A request to publish on its way through the append lane: checked, placed or refused, answered, told as events."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from ai_grpc.errors import AlreadyExists, Error, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from ai_grpc.exchange.checks import MAX_SIGNALS, Publication, Row, publication
from ai_grpc.exchange.events import PUBLISHED, SIGNAL_TYPES, Event, spliced
from ai_grpc.v1 import errors_pb2
from ai_grpc.v1 import signals_pb2 as pb


class Placed(NamedTuple):
    """Where a signal was first published, and whether that was before this request."""

    sequence: int
    duplicate: bool


Ack = asyncio.Future[list[Placed]]

# The unit separator: no value that has passed the checks holds a control character.
_BETWEEN: Final = "\x1f"


class Submission:
    """The signals of one request and the Ack that its caller waits for."""

    __slots__ = ("ack", "publication", "rows", "signals", "size")

    def __init__(self, signals: Sequence[pb.Signal], ack: Ack) -> None:
        self.signals, self.ack = signals, ack
        # What it may take up in a batch: a request that is too large will be refused for that, not for a full queue.
        self.rows = min(len(signals), MAX_SIGNALS)
        self.size = sum(signal.ByteSize() for signal in signals)
        self.publication = Publication(())

    def check(self) -> None:
        """Makes the publication, or refuses the request."""
        if not self.ack.done():
            try:
                self.publication = publication(self.signals)
            except InvalidArgument as error:
                # Its frames hold this submission: without them, the signals go when the answer has gone.
                self.refuse(error.with_traceback(None))

    def refuse(self, error: Exception) -> None:
        """Answers with an error, if the caller still waits."""
        if not self.ack.done():
            self.ack.set_exception(error)

    def answer(self, placed: Sequence[Any]) -> bool:
        """Answers with what `append_signals` returned for the rows; whether it wrote them."""
        if refusal := _refusal(self.publication, placed):
            self.refuse(refusal)
        elif not self.ack.done():
            self.ack.set_result([Placed(sequence, duplicate) for sequence, _, duplicate, _ in placed])
        return refusal is None

    def events(self, placed: Sequence[Any]) -> Iterable[Event]:
        """The events of the signals that were new."""
        for row, (sequence, time, duplicate, _) in zip(self.publication.rows, placed, strict=True):
            if not duplicate:
                signal_type, encoded = SIGNAL_TYPES[row[3]], row[-1]
                yield spliced(sequence, PUBLISHED, time, None, row[2], row[1], signal_type, row[4], encoded)


def arguments_of(requests: Sequence[int], rows: Sequence[Row]) -> list[Any]:
    """The arguments of the query `append`: a column is one text, which PostgreSQL splits at _BETWEEN; the messages are
    an array. Of arrays asyncpg looks at each value by itself, which took twice as long.
    """
    *columns, messages = zip(*rows, strict=True)
    return [*(_joined(column) for column in (requests, *columns)), messages]


def _joined(column: Sequence[Any]) -> str:
    return _BETWEEN.join(["" if value is None else str(value) for value in column])


def _refusal(checked: Publication, placed: Sequence[Any]) -> Error | None:
    """Why the publication was not written, if it was not."""
    for row, (sequence, _, _, fault) in zip(checked.rows, placed, strict=True):
        if fault is not None:
            return _error_of(fault, signal_id=row[0], model_id=row[1], sequence=sequence)
    return None


def _error_of(fault: str, *, signal_id: str, model_id: str, sequence: int) -> Error:
    if fault == "MODEL_NOT_FOUND":
        return NotFound(errors_pb2.ERROR_REASON_MODEL_NOT_FOUND, f"model {model_id} does not exist", model_id=model_id)
    if fault == "MODEL_INACTIVE":
        return FailedPrecondition(
            errors_pb2.ERROR_REASON_MODEL_INACTIVE, f"model {model_id} is not active", model_id=model_id
        )
    return AlreadyExists(
        errors_pb2.ERROR_REASON_SIGNAL_EXISTS,
        f"signal {signal_id} was published with other content",
        signal_id=signal_id,
        sequence=sequence,
    )


def overloaded(limit: str) -> ResourceExhausted:
    """The lane's queue is full."""
    return ResourceExhausted(
        errors_pb2.ERROR_REASON_OVERLOADED, f"{limit} are waiting to be written", retry_delay=0.1, limit=limit
    )
