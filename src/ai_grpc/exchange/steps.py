"""What a subscriber is given, one step after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ai_grpc.exchange.entries import Entry

# A quarter of what gRPC clients receive by default.
MAX_BATCH_BYTES: Final = 1024 * 1024


@dataclass(slots=True)
class Batch:
    """Encoded events; every matching one up to the sequence has been given. `message` is for who encodes it."""

    sequence: int
    events: Sequence[bytes]
    message: bytes = b""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing matched up to the sequence."""

    sequence: int


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What follows is new."""

    sequence: int


@dataclass(frozen=True, slots=True)
class FellBehind:
    """The ring went on without this subscriber."""

    sequence: int
    head: int


@dataclass(frozen=True, slots=True)
class Closing:
    """The stream ends here; `lifetime` tells an old stream from a stopping server."""

    sequence: int
    lifetime: bool


Step = Batch | Heartbeat | CaughtUp | FellBehind | Closing


def batches_of(events: Sequence[Entry], through: int, size: int) -> list[Batch]:
    """The events in batches; the last one stands for the whole range."""
    batches: list[Batch] = []
    encoded: list[bytes] = []
    last = length = 0
    for event in events:
        if len(encoded) == size or (length + len(event.encoded) > MAX_BATCH_BYTES and encoded):
            batches.append(Batch(last, encoded))
            encoded, length = [], 0
        encoded.append(event.encoded)
        length += len(event.encoded)
        last = event.sequence
    if encoded:
        batches.append(Batch(through, encoded))
    return batches
