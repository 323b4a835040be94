"""A subscriber by the SDK, which hides its connections: it is written down as one stream."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from google.protobuf.message import Message as Protobuf

from ai_grpc import errors
from ai_grpc.client.options import Start
from ai_grpc.v1 import streams_pb2
from tests.chaos.history import Message, Position, Stream
from tests.chaos.nouns import noun_of
from tests.chaos.recording import Recording, position_of

HEARTBEAT: Final = timedelta(seconds=0.3)


class SdkSubscriber:
    """Reads for as long as it runs. When its position expired it starts again at the earliest, under a new name."""

    def __init__(self, name: str, recording: Recording, targets: Sequence[str], start: Start, wanted: Protobuf) -> None:
        self.name, self.noun, self._recording, self._targets = name, noun_of(wanted), recording, targets
        self._start, self._wanted = start, wanted
        self.taken: Position | None = None
        self._current = False

    async def run(self) -> None:
        """Subscribes, and again under another name when it has to start anew."""
        name, start, starts = self.name, self._start, 0
        while True:
            stream = Stream(name, "any", time.monotonic(), str(start), None, self._wanted)
            self._recording.opened(stream)
            try:
                await self._follow(stream, start)
            except errors.OutOfRange as error:
                stream.reason = error.reason_name
                starts += 1
                name, start = f"{self.name}.{starts}", "earliest"
            finally:
                stream.ended = time.monotonic()
                stream.reason = stream.reason or "LEFT"
                self._recording.closed(stream)

    async def _follow(self, stream: Stream, start: Start) -> None:
        async with self.noun.sdk(
            self._targets,
            start=start,
            filter=self._wanted,
            heartbeat_interval=HEARTBEAT,
            subscriber_id=stream.subscriber,
        ) as subscriber:
            while True:
                event = subscriber.next_at_hand()
                self._advance(stream, subscriber.position)
                if event is None:
                    await subscriber.receive()
                    self._advance(stream, subscriber.position)
                    self._catch_up(stream, subscriber)
                    continue
                seen = self._recording.seen(event)
                epoch = subscriber.position.epoch if subscriber.position else ""
                position = Position(epoch, seen.sequence)
                self._recording.noted(stream, Message(time.monotonic(), "batch", position, (seen,)))

    def _catch_up(self, stream: Stream, subscriber: Any) -> None:
        """Writes down where the first part of `current` ended."""
        if stream.start == "current" and subscriber.caught_up.is_set() and not self._current:
            self._current = True
            assert subscriber.position is not None
            self._recording.noted(stream, Message(time.monotonic(), "caught_up", position_of(subscriber.position)))

    def _advance(self, stream: Stream, position: streams_pb2.Position | None) -> None:
        """Writes down that the position went on without an event."""
        if position is None:
            return
        taken = position_of(position)
        stream.taken = self.taken = taken
        last = stream.messages[-1].position if stream.messages else None
        if last is None or taken.sequence > last.sequence:
            what = "heartbeat" if last else "started"
            self._recording.noted(stream, Message(time.monotonic(), what, taken))
