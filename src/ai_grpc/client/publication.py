"""A signal on its way: encoded once, sent as often as it takes, answered once."""

from __future__ import annotations

import asyncio
import os
import re
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ai_grpc import errors
from ai_grpc.client.channel import MIB
from ai_grpc.v1 import signals_pb2 as pb

# What the service takes in one message, the bytes with some air.
MOST_SIGNALS: Final = 1000
WORTH_A_COMMIT: Final = 32
MOST_BYTES: Final = 7 * MIB // 2

_SIGNAL: Final = re.compile(r"signals\[(\d+)\]\.?")


class Published(NamedTuple):
    """Where in the log a signal is."""

    signal_id: str
    sequence: int
    # Whether the signal had been there before this sending: a repetition, also one that a broken connection caused.
    duplicate: bool
    # The history of the log that the sequence belongs to.
    epoch: str


@dataclass(slots=True, eq=False)
class Publication:
    """One signal and who waits for it. `encoded` is a whole request; requests merge by concatenation."""

    encoded: bytes
    signal_id: str
    deadline: float
    answer: asyncio.Future[Published]
    refusals: int = 0

    @property
    def alone(self) -> bool:
        """Whether it was refused twice in company, so that it shall find out by itself."""
        return self.refusals > 1

    def fail(self, error: Exception) -> None:
        """Gives the error to who waits, if somebody still does."""
        if not self.answer.done():
            self.answer.set_exception(error)


def new_signal_id() -> str:
    """A UUID of version 7: unique, and in the order of time, which keeps the indexes small."""
    random = int.from_bytes(os.urandom(10))
    high, low = random >> 62 & 0xFFF, random & (1 << 62) - 1
    return str(uuid.UUID(int=time.time_ns() // 1_000_000 << 80 | 7 << 76 | high << 64 | 2 << 62 | low))


def encode(signal: pb.Signal) -> tuple[bytes, str]:
    """The signal as a request, with an id and a signal_time if it had none, and its id."""
    request = pb.PublishSignalStreamRequest(signals=[signal])
    sent = request.signals[0]
    if not sent.signal_id:
        sent.signal_id = new_signal_id()
    if not sent.HasField("signal_time"):
        sent.signal_time.FromMicroseconds(time.time_ns() // 1000)
    return request.SerializeToString(), sent.signal_id.lower()


def next_message(waiting: deque[Publication], on_leave: Callable[[], None], share: int = 1) -> list[Publication]:
    """Takes the publications of the next message: no id twice, not too many, and none that nobody waits for.

    It takes one part in `share` of them, if that is not too few to be worth a commit of their own.
    """
    most = min(MOST_SIGNALS, max(WORTH_A_COMMIT, -(-len(waiting) // share)))
    message: list[Publication] = []
    ids: set[str] = set()
    size = 0
    while waiting and len(message) < most:
        publication = waiting[0]
        if publication.answer.done():
            on_leave()
        else:
            size += len(publication.encoded)
            crowded = size > MOST_BYTES or publication.signal_id in ids
            if message and (crowded or publication.alone or message[0].alone):
                break
            ids.add(publication.signal_id)
            message.append(publication)
        waiting.popleft()
    return message


def awaited(waiting: deque[Publication], on_leave: Callable[[], None]) -> deque[Publication]:
    """Those that somebody still waits for."""
    still = deque(publication for publication in waiting if not publication.answer.done())
    for _ in range(len(waiting) - len(still)):
        on_leave()
    return still


def blame(refused: Sequence[Publication], error: errors.Error) -> dict[int, errors.Error]:
    """Which publications of a message made the service refuse it, by index, and what each is told; empty if it cannot
    be told."""
    if error.violations:
        return _violators(error.violations, len(refused))
    if signal_id := error.metadata.get("signal_id"):
        return {index: error for index, each in enumerate(refused) if each.signal_id == signal_id}
    if model_id := error.metadata.get("model_id"):
        signals = (pb.PublishSignalStreamRequest.FromString(each.encoded).signals[0] for each in refused)
        return {index: error for index, signal in enumerate(signals) if signal.model_id.lower() == model_id}
    return {}


def _violators(violations: Sequence[errors.Violation], size: int) -> dict[int, errors.Error]:
    """Each told of its own violations only, with the paths as from its signal."""
    own: dict[int, list[errors.Violation]] = {}
    for violation in violations:
        if (match := _SIGNAL.match(violation.field)) and int(match[1]) < size:
            field = violation.field[match.end() :] or "signal"
            own.setdefault(int(match[1]), []).append(errors.Violation(field, violation.description))
    return {index: errors.InvalidArgument(*each) for index, each in own.items()}
