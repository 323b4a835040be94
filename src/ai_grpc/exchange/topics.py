"""The log of everything but signals: its topics, its events, and what a subscriber may want of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from ai_grpc.db import load_queries
from ai_grpc.exchange.entries import Log
from ai_grpc.exchange.events import length_delimited, timestamp_of
from ai_grpc.exchange.follower import Follower
from ai_grpc.exchange.subscribing import Subscriptions, Topic
from ai_grpc.v1 import optimization_pb2

CHANNEL: Final = "ai_trading_events"

# The event of each topic, and its field that says about what it is.
EVENTS_OF: Final[dict[str, tuple[type[Any], str]]] = {
    "GENERATION": (optimization_pb2.GenerationEvent, "generation"),
}


class TopicEvent(NamedTuple):
    """One event. `content` is the message about a row as JSON; `encoded` as in Entry."""

    sequence: int
    topic: str
    kind: str
    content: dict[str, Any]
    encoded: bytes


@dataclass(frozen=True, slots=True)
class TopicSelection:
    """Which events of one topic somebody wants; None is any. The names of kinds are those of the log."""

    topic: str | None = None
    kinds: Sequence[str] | None = None
    symbols: Sequence[str] | None = None
    model_ids: Sequence[str] | None = None
    run_ids: Sequence[str] | None = None
    min_severity: float | None = None

    @property
    def key(self) -> bytes:
        return repr(self.parameters).encode()

    @property
    def parameters(self) -> tuple[Any, ...]:
        return self.topic, self.kinds, self.symbols, self.model_ids, self.run_ids, self.min_severity

    def matches(self, entry: TopicEvent) -> bool:
        """AND between what is given, OR inside a sequence."""
        content = entry.content
        return (
            (self.topic is None or entry.topic == self.topic)
            and (self.kinds is None or entry.kind in self.kinds)
            and (self.symbols is None or content.get("symbol") in self.symbols)
            and (self.model_ids is None or content.get("model_id") in self.model_ids)
            and (self.run_ids is None or content.get("run_id") in self.run_ids)
            and (self.min_severity is None or content.get("severity_score", -1) >= self.min_severity)
        )


class Topics:
    """The topics of this replica, for the services that write about them and those who subscribe."""

    def __init__(self, follower: Follower, subscriptions: Subscriptions) -> None:
        self._follower, self._subscriptions = follower, subscriptions

    def messages(
        self, response: type[Any], selection_of: Callable[[Any], TopicSelection], request: Any
    ) -> AsyncIterator[bytes]:
        """As Subscriptions.messages."""
        topic = Topic(self._follower.feed, self._follower.reader, response, selection_of)
        return self._subscriptions.messages(topic, request)

    def changed(self) -> None:
        """A row of a topic was written."""
        self._follower.changed()


def some(values: Iterable[str]) -> list[str] | None:
    """A repeated field of a filter, which restricts nothing if it is empty."""
    return list(values) or None


def event_of(row: Sequence[Any]) -> TopicEvent:
    """The event of a row of `read_events`."""
    sequence, topic, kind, commit_time, content = row
    event_type, field = EVENTS_OF[topic]
    event = event_type(sequence=sequence, commit_time=timestamp_of(commit_time))
    if "kind" in event_type.DESCRIPTOR.fields_by_name:
        event.kind = event_type.Kind.Value(f"KIND_{kind}")
    about: Message = getattr(event, field)
    about.SetInParent()
    # A newer replica may have written what this one does not know yet.
    ParseDict(content, about, ignore_unknown_fields=True)
    return TopicEvent(sequence, topic, kind, content, length_delimited(1, event.SerializeToString()))


TOPICS: Final = Log(load_queries("events"), CHANNEL, event_of, TopicSelection())
