"""The log of everything but signals: its topics, its events, and what a subscriber may want of them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeVar

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message

from ai_grpc.db import load_queries
from ai_grpc.exchange.entries import Log
from ai_grpc.exchange.events import length_delimited, timestamp_of
from ai_grpc.exchange.follower import Follower
from ai_grpc.exchange.subscribing import Subscriptions, Topic
from ai_grpc.v1 import anomalies_pb2, optimization_pb2, performance_pb2

CHANNEL: Final = "ai_trading_events"

# The event of each topic, and its field that says about what it is.
EVENTS_OF: Final[dict[str, tuple[type[Any], str]]] = {
    "ANOMALY": (anomalies_pb2.AnomalyEvent, "anomaly"),
    "GENERATION": (optimization_pb2.GenerationEvent, "generation"),
    "PERFORMANCE": (performance_pb2.ModelPerformanceEvent, "performance"),
}
FACTS: Final = ("symbol", "model_id", "run_id", "severity_score")

M = TypeVar("M", bound=Message)

logger = logging.getLogger(__name__)


class TopicEvent(NamedTuple):
    """One event. `facts` is what selections look at in the message about a row; `encoded` as in Entry."""

    sequence: int
    topic: str
    kind: str
    facts: dict[str, Any]
    encoded: bytes


@dataclass(frozen=True)
class TopicSelection:
    """Which events of one topic somebody wants; None is any. The names of kinds are those of the log."""

    topic: str | None = None
    kinds: Sequence[str] | None = None
    symbols: Sequence[str] | None = None
    model_ids: Sequence[str] | None = None
    run_ids: Sequence[str] | None = None
    min_severity: float | None = None

    @cached_property
    def key(self) -> bytes:
        return repr(self.parameters).encode()

    @property
    def parameters(self) -> tuple[Any, ...]:
        return self.topic, self.kinds, self.symbols, self.model_ids, self.run_ids, self.min_severity

    def matches(self, entry: TopicEvent) -> bool:
        """AND between what is given, OR inside a sequence."""
        facts = entry.facts
        return (
            (self.topic is None or entry.topic == self.topic)
            and (self.kinds is None or entry.kind in self.kinds)
            and (self.symbols is None or facts.get("symbol") in self.symbols)
            and (self.model_ids is None or facts.get("model_id") in self.model_ids)
            and (self.run_ids is None or facts.get("run_id") in self.run_ids)
            and (self.min_severity is None or facts.get("severity_score", -1) >= self.min_severity)
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
    facts = {name: content[name] for name in FACTS if content.get(name) is not None}
    if topic not in EVENTS_OF:
        # A newer replica's, which nobody can ask this one for.
        return TopicEvent(sequence, topic, kind, facts, b"")
    event_type, field = EVENTS_OF[topic]
    event = event_type(sequence=sequence, commit_time=timestamp_of(commit_time))
    if "kind" in event_type.DESCRIPTOR.fields_by_name:
        event.kind = dict(event_type.Kind.items()).get(f"KIND_{kind}", 0)
    getattr(event, field).CopyFrom(_message_of(type(getattr(event, field)), content, sequence))
    return TopicEvent(sequence, topic, kind, facts, length_delimited(1, event.SerializeToString()))


def _message_of(kind: type[M], content: dict[str, Any], sequence: int) -> M:
    """The message that was logged, without what of it is none, however that came into the table: one row must not keep
    every subscriber from all that follow."""
    try:
        # A newer replica may have written what this one does not know yet.
        return ParseDict(content, kind(), ignore_unknown_fields=True)
    except (ParseError, OverflowError) as error:
        message = kind()
        if len(content) == 1:
            logger.error("event %d is sent without its %s: %s", sequence, *content, error)
        else:
            for name, value in content.items():
                message.MergeFrom(_message_of(kind, {name: value}, sequence))
        return message


TOPICS: Final = Log(load_queries("events"), CHANNEL, event_of, TopicSelection())
