"""Subscriptions: where each begins, and its messages, spliced from events that were encoded once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.errors import DRAIN_DELAY, InvalidArgument, ResourceExhausted, Violation, draining
from ai_grpc.exchange.checks import check_time
from ai_grpc.exchange.entries import Selection
from ai_grpc.exchange.events import duration_of, length_delimited
from ai_grpc.exchange.feed import Feed
from ai_grpc.exchange.log import LogReader
from ai_grpc.exchange.steps import Batch, CaughtUp, Closing, FellBehind, Step
from ai_grpc.v1 import errors_pb2, streams_pb2

DEFAULT_BATCH: Final = 500
MAX_BATCH: Final = 1000
DEFAULT_HEARTBEAT: Final = 5.0
HEARTBEAT_RANGE: Final = (0.1, 60.0)


class Topic(NamedTuple):
    """What can be subscribed to. The responses of all topics have the same fields but for the events themselves, and so
    have the requests; `selection_of` reads the filter of one, and raises InvalidArgument."""

    feed: Feed
    log: LogReader
    response: type[Any]
    selection_of: Callable[[Any], Selection]


class Subscriptions:
    """All subscriptions of this process, at most `limit` at a time."""

    def __init__(self, *, limit: int, server_id: str) -> None:
        self._limit, self._server_id = limit, server_id
        self._count = 0

    async def messages(self, topic: Topic, request: Any) -> AsyncIterator[bytes]:
        """The encoded messages of one subscription, for as long as it is iterated over. Ends by an exception."""
        batch_size, heartbeat = _bounds(request)
        selection = topic.selection_of(request)
        if self._count >= self._limit:
            raise ResourceExhausted(
                errors_pb2.ERROR_REASON_TOO_MANY_SUBSCRIPTIONS,
                f"this replica serves {self._limit} subscriptions already",
                retry_delay=1.0,
                limit=self._limit,
            )
        self._count += 1
        try:
            after = await _start(topic, request)
            yield self._started(topic, after, heartbeat, batch_size)
            steps = topic.feed.follow(
                after,
                selection,
                current=request.WhichOneof("start") == "current",
                batch_size=batch_size,
                heartbeat=heartbeat,
            )
            async with aclosing(steps):
                async for step in steps:
                    yield _encode(topic, step)
            raise draining()
        finally:
            self._count -= 1

    def _started(self, topic: Topic, after: int, heartbeat: float, batch_size: int) -> bytes:
        started = streams_pb2.Started(
            heartbeat_interval=duration_of(heartbeat),
            max_batch_size=batch_size,
            head=topic.feed.head,
            floor=topic.feed.floor,
            server_id=self._server_id,
        )
        return _message(topic, after, started=started)


async def _start(topic: Topic, request: Any) -> int:
    """The sequence after which the stream begins."""
    match request.WhichOneof("start"):
        case "after":
            await topic.feed.check(request.after.epoch, request.after.sequence)
            return int(request.after.sequence)
        case "latest":
            return topic.feed.head
        case "earliest":
            return topic.feed.floor
        case "published_after":
            check_time("published_after", request.published_after)
            return await topic.log.position_at(request.published_after.ToDatetime(UTC))
        case "current":
            return 0
    starts = [field.name for field in request.DESCRIPTOR.oneofs_by_name["start"].fields]
    raise InvalidArgument(Violation("start", f"is required: {', '.join(starts[:-1])} or {starts[-1]}"))


def _encode(topic: Topic, step: Step) -> bytes:
    match step:
        case Batch():
            # Shared but for the time: whoever asks for these events later is told his own.
            if not step.message:
                position = topic.response(position=_position(topic, step.sequence)).SerializeToString()
                step.message = position + length_delimited(topic.response.BATCH_FIELD_NUMBER, b"".join(step.events))
            time_field = topic.response.SERVER_TIME_FIELD_NUMBER
            return step.message + length_delimited(time_field, _now().SerializeToString())
        case CaughtUp():
            return _message(topic, step.sequence, caught_up=streams_pb2.CaughtUp())
        case FellBehind():
            return _message(topic, step.sequence, fell_behind=streams_pb2.FellBehind(head=step.head))
        case Closing():
            reason = streams_pb2.Closing.REASON_LIFETIME if step.lifetime else streams_pb2.Closing.REASON_SHUTDOWN
            closing = streams_pb2.Closing(reason=reason, retry_delay=duration_of(DRAIN_DELAY))
            return _message(topic, step.sequence, closing=closing)
        case _:
            return _message(topic, step.sequence, heartbeat=streams_pb2.Heartbeat())


def _message(topic: Topic, sequence: int, **event: Message) -> bytes:
    message = topic.response(position=_position(topic, sequence), server_time=_now(), **event)
    return bytes(message.SerializeToString())


def _position(topic: Topic, sequence: int) -> streams_pb2.Position:
    return streams_pb2.Position(epoch=topic.feed.epoch, sequence=sequence)


def _bounds(request: Any) -> tuple[int, float]:
    """The batch size and the heartbeat interval in force. Raises InvalidArgument for what cannot be clamped."""
    if request.max_batch_size < 0:
        raise InvalidArgument(Violation("max_batch_size", "must not be negative"))
    if len(request.subscriber_id) > 100:
        raise InvalidArgument(Violation("subscriber_id", "must have at most 100 characters"))
    heartbeat = DEFAULT_HEARTBEAT
    if request.HasField("heartbeat_interval"):
        lowest, highest = HEARTBEAT_RANGE
        asked = request.heartbeat_interval.seconds + request.heartbeat_interval.nanos / 1e9
        heartbeat = min(max(asked, lowest), highest)
    return min(request.max_batch_size or DEFAULT_BATCH, MAX_BATCH), heartbeat


def _now() -> Timestamp:
    seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
    return Timestamp(seconds=seconds, nanos=nanos)
