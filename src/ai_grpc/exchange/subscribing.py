"""Subscriptions: where each begins, and its messages, spliced from events that were encoded once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.errors import DRAIN_DELAY, InvalidArgument, ResourceExhausted, Violation, draining
from ai_grpc.exchange.checks import check_selection, check_time
from ai_grpc.exchange.events import EventFilter, duration_of, length_delimited
from ai_grpc.exchange.feed import Feed
from ai_grpc.exchange.log import LogReader
from ai_grpc.exchange.steps import Batch, CaughtUp, Closing, FellBehind, Step
from ai_grpc.v1 import errors_pb2
from ai_grpc.v1 import signals_pb2 as pb

DEFAULT_BATCH: Final = 500
MAX_BATCH: Final = 1000
DEFAULT_HEARTBEAT: Final = 5.0
HEARTBEAT_RANGE: Final = (0.1, 60.0)

Response = pb.SubscribeSignalsResponse


class Subscriptions:
    """All subscriptions of this process, at most `limit` at a time."""

    def __init__(self, feed: Feed, log: LogReader, *, limit: int, server_id: str) -> None:
        self._feed, self._log, self._limit, self._server_id = feed, log, limit, server_id
        self._count = 0

    async def messages(self, request: pb.SubscribeSignalsRequest) -> AsyncIterator[bytes]:
        """The encoded messages of one subscription, for as long as it is iterated over. Ends by an exception."""
        batch_size, heartbeat = _bounds(request)
        if self._count >= self._limit:
            raise ResourceExhausted(
                errors_pb2.ERROR_REASON_TOO_MANY_SUBSCRIPTIONS,
                f"this replica serves {self._limit} subscriptions already",
                retry_delay=1.0,
                limit=self._limit,
            )
        self._count += 1
        try:
            after = await self._start(request)
            yield self._started(after, heartbeat, batch_size)
            steps = self._feed.follow(
                after,
                EventFilter(request.filter),
                current=request.HasField("current"),
                batch_size=batch_size,
                heartbeat=heartbeat,
            )
            async with aclosing(steps):
                async for step in steps:
                    yield self._encode(step)
            raise draining()
        finally:
            self._count -= 1

    async def _start(self, request: pb.SubscribeSignalsRequest) -> int:
        """The sequence after which the stream begins."""
        match request.WhichOneof("start"):
            case "after":
                await self._feed.check(request.after.epoch, request.after.sequence)
                return request.after.sequence
            case "latest":
                return self._feed.head
            case "earliest":
                return self._feed.floor
            case "published_after":
                return await self._position_at(request.published_after)
            case "current":
                return 0
        raise InvalidArgument(Violation("start", "is required: after, latest, earliest, published_after or current"))

    async def _position_at(self, time: Timestamp) -> int:
        check_time("published_after", time)
        return await self._log.position_at(time.ToDatetime(UTC))

    def _started(self, after: int, heartbeat: float, batch_size: int) -> bytes:
        started = Response.Started(
            heartbeat_interval=duration_of(heartbeat),
            max_batch_size=batch_size,
            head=self._feed.head,
            floor=self._feed.floor,
            server_id=self._server_id,
        )
        return Response(position=self._position(after), server_time=_now(), started=started).SerializeToString()

    def _encode(self, step: Step) -> bytes:
        if isinstance(step, Batch):
            # Shared but for the time: whoever asks for these events later is told his own.
            if not step.message:
                position = Response(position=self._position(step.sequence)).SerializeToString()
                step.message = position + length_delimited(Response.BATCH_FIELD_NUMBER, b"".join(step.events))
            return step.message + length_delimited(Response.SERVER_TIME_FIELD_NUMBER, _now().SerializeToString())
        message = Response(position=self._position(step.sequence), server_time=_now())
        match step:
            case CaughtUp():
                message.caught_up.SetInParent()
            case FellBehind():
                message.fell_behind.head = step.head
            case Closing():
                reason = Response.Closing.REASON_LIFETIME if step.lifetime else Response.Closing.REASON_SHUTDOWN
                message.closing.CopyFrom(Response.Closing(reason=reason, retry_delay=duration_of(DRAIN_DELAY)))
            case _:
                message.heartbeat.SetInParent()
        return message.SerializeToString()

    def _position(self, sequence: int) -> pb.Position:
        return pb.Position(epoch=self._feed.epoch, sequence=sequence)


def _bounds(request: pb.SubscribeSignalsRequest) -> tuple[int, float]:
    """The batch size and the heartbeat interval in force. Raises InvalidArgument for what cannot be clamped."""
    selection = request.filter
    check_selection(
        selection.symbols,
        selection.model_ids,
        [
            ("signal_types", selection.signal_types, pb.SignalType.values()),
            ("kinds", selection.kinds, pb.SignalEvent.Kind.values()),
        ],
        selection.min_confidence,
        "filter.",
    )
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
