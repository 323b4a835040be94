"""What clients did and saw, as they know it, and what the database holds in the end: all that the checker reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ai_grpc.v1 import signals_pb2 as pb


class Outcome(StrEnum):
    """How a call ended. A timeout or a lost connection is UNKNOWN, never FAIL: the server may have done it."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Position:
    """As in the contract."""

    epoch: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Sent:
    """A signal as it was sent; `content` is `content_of` it."""

    signal_id: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Publish:
    """One request to publish, by its first invocation and its last answer. Times are of `time.monotonic()` here.

    `refusal` is the reason with which it must be refused; empty for a request that is right.
    """

    client: str
    replica: str
    invoked: float
    ended: float
    outcome: Outcome
    signals: tuple[Sent, ...]
    sequences: tuple[int, ...] = ()
    duplicates: tuple[bool, ...] = ()
    reason: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """One call of UpdateSignalState."""

    client: str
    replica: str
    invoked: float
    ended: float
    outcome: Outcome
    signal_id: str
    state: str
    sequence: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as it was delivered."""

    sequence: int
    kind: str
    signal_id: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a subscription; `what` is the name of its event field: started, batch, heartbeat, ..."""

    time: float
    what: str
    position: Position
    events: tuple[Seen, ...] = ()


@dataclass(slots=True)
class Stream:
    """One connection of a subscriber, in order of its messages. `start` is the oneof's name; `after` its position.

    `taken` is the position up to which the subscriber has processed, from which its next stream goes on.
    """

    subscriber: str
    replica: str
    opened: float
    start: str
    after: Position | None
    wanted: pb.SignalFilter
    messages: list[Message] = field(default_factory=list)
    taken: Position | None = None
    ended: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """A subscription from a position that the server must refuse by name (or accept: `expected` is "")."""

    replica: str
    position: str
    expected: str
    answer: str


@dataclass(frozen=True, slots=True)
class Drain:
    """A server that was sent SIGTERM: how long it took, how it ended, its streams, and those that heard Closing."""

    replica: str
    seconds: float
    grace: float
    status: int
    streams: int
    closings: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """A figure that an invariant bounds: `invariant` is its name, I13 to I17."""

    invariant: str
    what: str
    value: float
    bound: float


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the log with its signal as the tables hold it."""

    sequence: int
    kind: str
    signal_id: str
    content: bytes
    symbol: str
    model_id: str
    signal_type: str
    confidence: float


@dataclass(slots=True)
class History:
    """A whole run. `log` begins after `floor`; `signals` are all rows of ai_signals as (signal_id, sequence)."""

    publishes: list[Publish] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    drains: list[Drain] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    log: list[Entry] = field(default_factory=list)
    signals: list[tuple[str, int]] = field(default_factory=list)
    epoch: str = ""
    floor: int = 0
    head: int = 0


def content_of(signal: pb.Signal) -> bytes:
    """What the publisher said, without what the server adds: equal for equal content, whoever gives it."""
    said = pb.Signal()
    said.CopyFrom(signal)
    said.ClearField("state")
    said.ClearField("create_time")
    return said.SerializeToString(deterministic=True)
