"""What clients did and saw, as they know it, and what the database holds in the end: all that the checker reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from google.protobuf.message import Message as Protobuf


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
    """What was sent, as a signal; `content` is `nouns.content_of` it."""

    key: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Publish:
    """One request to publish, to report, or to record, or a transaction that inserts, by its first invocation and its
    last answer. Times are of `time.monotonic()` here.

    A sequence is 0 where the answer names none. `refusal` is the reason with which it must be refused; empty for a
    request that is right.
    """

    client: str
    replica: str
    invoked: float
    ended: float
    outcome: Outcome
    items: tuple[Sent, ...]
    sequences: tuple[int, ...] = ()
    duplicates: tuple[bool, ...] = ()
    reason: str = ""
    refusal: str = ""

    @property
    def answers(self) -> list[tuple[str, int]]:
        """The keys of what was acknowledged, and the sequences that were named."""
        return [(sent.key, sequence) for sent, sequence in zip(self.items, self.sequences, strict=False)]


@dataclass(frozen=True, slots=True)
class End:
    """One call that ends something: a signal, or an anomaly. `state` is the kind of the event that it makes."""

    client: str
    replica: str
    invoked: float
    ended: float
    outcome: Outcome
    key: str
    state: str
    sequence: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as it was delivered, its kind as `nouns.kind_of` has it."""

    sequence: int
    kind: str
    key: str
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
    wanted: Protobuf
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
    """One row of the log. `message` is its content, to be looked at by filters."""

    sequence: int
    kind: str
    key: str
    content: bytes
    message: Protobuf


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table that the log is about; `kind` is that of its first event, and `place` where the table says that
    this is: None if it keeps none."""

    kind: str
    key: str
    place: int | None
    content: bytes


@dataclass(slots=True)
class History:
    """All about one log in a run. `log` begins after `floor`; `rows` are all rows of the tables."""

    publishes: list[Publish] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    drains: list[Drain] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    log: list[Entry] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    epoch: str = ""
    floor: int = 0
    head: int = 0
