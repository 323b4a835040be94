"""Subscribing: every event once, in order, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.client.channel import Route
from ai_grpc.client.clock import ServerClock
from ai_grpc.client.messages import Messages, Stream
from ai_grpc.client.options import Start
from ai_grpc.v1 import streams_pb2


class Event(Protocol):
    """What the events of all streams have."""

    @property
    def sequence(self) -> int: ...
    @property
    def commit_time(self) -> Timestamp: ...


E = TypeVar("E", bound=Event)
F = TypeVar("F", bound=Message)


class Subscriber(Generic[E, F]):
    """Yields the events of a stream, from a start or after a position, for as long as it is iterated over.

    When the connection breaks or falls silent, it goes on after the last event, at the next target: nothing is missed
    and nothing comes twice. Errors that no repetition cures, such as POSITION_EXPIRED, are raised as one of
    `ai_grpc.errors`. A wait for the next event may be cancelled and begun again. What is new but older than `max_age`
    is skipped and counted; what ends something is not.
    """

    stream: ClassVar[Stream]

    def __init__(
        self,
        targets: str | Sequence[str],
        *,
        start: Start = "latest",
        position: streams_pb2.Position | None = None,
        filter: F | None = None,
        max_age: timedelta | None = None,
        heartbeat_interval: timedelta = timedelta(seconds=5),
        max_batch_size: int = 0,
        subscriber_id: str = "",
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self.skipped = 0
        self._start, self._max_age = self._checked(start), math.inf if max_age is None else max_age.total_seconds()
        self._epoch = position.epoch if position else ""
        self._sequence = position.sequence if position else None
        self._options = self.stream.request(filter=filter, max_batch_size=max_batch_size, subscriber_id=subscriber_id)
        self._options.heartbeat_interval.FromTimedelta(heartbeat_interval)
        self._messages = Messages(Route(targets, credentials), self.stream, self._request)
        self._events: Iterator[E] = iter(())
        self._batch_end: int | None = None
        self._in_hand: E | None = None
        self._clock = ServerClock()

    @property
    def position(self) -> streams_pb2.Position | None:
        """The position to keep: of the last event that is done with, which it is when the next one is asked for.

        None before anything is known, and with `start="current"` until the first event or the end of the first part.
        """
        if self._sequence is None:
            return None
        return streams_pb2.Position(epoch=self._epoch, sequence=self._sequence)

    @property
    def caught_up(self) -> asyncio.Event:
        """Set while the events are new ones: not while past ones are being sent, nor while there is no connection."""
        return self._messages.caught_up

    @property
    def lag(self) -> timedelta | None:
        """How long ago the event in hand was committed, by the server's clock; None if there is none."""
        return timedelta(seconds=self._clock.age(self._in_hand.commit_time)) if self._in_hand else None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        while (event := self.next_at_hand()) is None:
            await self.receive()
        return event

    def next_at_hand(self) -> E | None:
        """The next event if it has been received already. The one before is done with."""
        if self._in_hand is not None:
            self._sequence, self._in_hand = self._in_hand.sequence, None
        for event in self._events:
            if self._clock.age(event.commit_time) <= self._max_age or not self.stream.begins(event):
                self._in_hand = event
                return event
            self.skipped += 1
            self._sequence = event.sequence
        if self._batch_end is not None:
            self._sequence, self._batch_end = self._batch_end, None
        return None

    async def receive(self) -> None:
        """Waits for the next message of the service; only when there is nothing at hand."""
        message = await self._messages.next()
        kind, sequence = message.WhichOneof("event"), message.position.sequence
        self._epoch = message.position.epoch
        self._clock.hear(message.server_time, afresh=kind == "started")
        if kind == "batch":
            self._events, self._batch_end = iter(message.batch.events), sequence
        elif self._sequence is not None or self._start != "current" or kind == "caught_up":
            self._sequence = sequence

    async def close(self) -> None:
        """Ends the stream. Whoever waits for an event gets the end of the iteration."""
        await self._messages.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _checked(self, start: Start) -> Start:
        if isinstance(start, datetime) and start.tzinfo is None:
            raise ValueError("start has no time zone")
        fields = self.stream.request.DESCRIPTOR.oneofs_by_name["start"].fields
        starts = [field.name for field in fields if field.name != "after"]
        if ("published_after" if isinstance(start, datetime) else start) not in starts:
            choices = ", ".join(starts).replace("published_after", "a datetime")
            raise ValueError(f"start must be one of {choices}")
        return start

    def _request(self) -> Any:
        """How the stream is opened now."""
        request = self.stream.request()
        request.CopyFrom(self._options)
        if position := self.position:
            request.after.CopyFrom(position)
        elif isinstance(self._start, datetime):
            request.published_after.FromDatetime(self._start)
        else:
            getattr(request, self._start).SetInParent()
        return request
