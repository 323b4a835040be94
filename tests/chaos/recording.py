"""What all clients of a run write down together, each noun of its own."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

from grpc import aio

from ai_grpc import errors
from ai_grpc.client.status import error_of_call
from ai_grpc.v1 import errors_pb2, streams_pb2
from tests.chaos.history import End, History, Message, Outcome, Position, Publish, Seen, Stream
from tests.chaos.nouns import BEGINNINGS, seen_of

RECENT: Final = 400

# After these it is not known what happened, whatever else they say.
AMBIGUOUS: Final = (errors.Unavailable, errors.DeadlineExceeded, errors.Internal)


class Recording:
    """The history as it grows, the moments of publication, and the deliveries by how long they took."""

    def __init__(self, history: History | None = None) -> None:
        self.history = history or History()
        self.counts: Counter[str] = Counter()
        self.sent: dict[str, float] = {}
        self.delivered: deque[tuple[float, str, float]] = deque(maxlen=200_000)
        self.recent: deque[str] = deque(maxlen=RECENT)
        self._seen: dict[Seen, Seen] = {}

    def published(self, publish: Publish) -> None:
        """A request to publish ended."""
        self.history.publishes.append(publish)
        self.counts[f"publish {publish.outcome}"] += 1
        if publish.outcome is Outcome.OK:
            self.counts["acknowledged"] += publish.duplicates.count(False)
            self.recent.extend(sent.key for sent in publish.items)
        elif publish.reason:
            self.counts[f"publish {publish.outcome} {publish.reason}"] += 1

    def ended(self, end: End) -> None:
        """A call to end something ended."""
        self.history.ends.append(end)
        self.counts[f"end {end.outcome}"] += 1

    def opened(self, stream: Stream) -> None:
        """A subscription begins."""
        self.history.streams.append(stream)
        self.counts["streams"] += 1

    def noted(self, stream: Stream, message: Message) -> None:
        """A subscription brought a message."""
        stream.messages.append(message)
        self.counts[f"message {message.what}"] += 1
        for event in message.events:
            if event.kind in BEGINNINGS and (invoked := self.sent.get(event.key)) is not None:
                self.delivered.append((message.time, stream.subscriber, message.time - invoked))

    def closed(self, stream: Stream) -> None:
        """A subscription is over."""
        self.counts[f"stream ended {stream.reason}"] += 1

    def seen(self, event: Any) -> Seen:
        """The event; one object for all who saw the same."""
        seen = seen_of(event)
        return self._seen.setdefault(seen, seen)


def position_of(position: streams_pb2.Position) -> Position:
    """A position of the contract."""
    return Position(position.epoch, position.sequence)


def message_of(response: Any, seen: Callable[[Any], Seen]) -> Message:
    """A message of a subscription, received now."""
    events = tuple(map(seen, response.batch.events))
    return Message(time.monotonic(), response.WhichOneof("event") or "nothing", position_of(response.position), events)


def outcome_of(failure: BaseException) -> tuple[Outcome, str]:
    """What a failed call tells of what happened, and its reason."""
    if isinstance(failure, aio.AioRpcError | aio.InternalError):
        failure = error_of_call(failure)
    if not isinstance(failure, errors.Error):
        return Outcome.UNKNOWN, type(failure).__name__
    known = failure.reason != errors_pb2.ERROR_REASON_UNSPECIFIED
    reason = failure.reason_name if known else failure.status
    return Outcome.UNKNOWN if isinstance(failure, AMBIGUOUS) else Outcome.FAIL, reason
