"""A subscriber on the bare contract, which changes replicas and goes on after the position that it has processed."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Protocol

from google.protobuf.message import Message as Protobuf
from grpc import aio

from ai_grpc.client.channel import OPTIONS
from ai_grpc.client.status import error_of_call
from ai_grpc.v1 import errors_pb2, streams_pb2
from ai_grpc.v1 import signals_pb2 as pb
from tests.chaos.history import Message, Position, Seen, Stream
from tests.chaos.nouns import noun_of
from tests.chaos.recording import message_of

HEARTBEAT: Final = 0.3
SILENCE: Final = 3.0
RETRY_WAIT: Final = 0.1

# Takes no more from the network than it reads, so that a reader that stops is felt by the server.
NARROW: Final = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 16384))
NEW_START: Final = (errors_pb2.ERROR_REASON_POSITION_EXPIRED, errors_pb2.ERROR_REASON_EPOCH_MISMATCH)


class Notes(Protocol):
    """Where subscribers write down what they see."""

    def opened(self, stream: Stream) -> None: ...
    def noted(self, stream: Stream, message: Message) -> None: ...
    def closed(self, stream: Stream) -> None: ...
    def seen(self, event: Any) -> Seen: ...


@dataclass(slots=True)
class Habits:
    """How a subscriber begins and reads, and by its filter of what.

    `events` is after how many it changes the replica, in the middle of a batch; `pause` is between two messages. Who is
    forgetful begins anew each time.
    """

    start: str = "earliest"
    wanted: Protobuf = field(default_factory=pb.SignalFilter)
    batch: int = 0
    events: float = math.inf
    pause: float = 0.0
    narrow: bool = False
    forgetful: bool = False


class Subscriber:
    """Reads for as long as it runs. When its position expired it starts again at the earliest, under a new name."""

    def __init__(self, name: str, notes: Notes, targets: Sequence[str], habits: Habits, rng: Random) -> None:
        self.habits = habits
        self.taken: Position | None = None
        self.stream: Stream | None = None
        self.reads = asyncio.Event()
        self.reads.set()
        self.name, self._notes, self._targets, self._rng = name, notes, targets, rng
        self.noun = noun_of(habits.wanted)
        self._starts = 0
        self._start = habits.start

    async def run(self) -> None:
        """Subscribes again and again."""
        while True:
            await self._subscribe(self._rng.choice(self._targets))
            if self.habits.forgetful:
                self.taken = None
            if self.taken is None:
                self._starts += 1
            await asyncio.sleep(RETRY_WAIT * self._rng.random())

    async def _subscribe(self, target: str) -> None:
        name = f"{self.name}.{self._starts}" if self._starts else self.name
        start = "after" if self.taken else self._start
        stream = Stream(name, target, time.monotonic(), start, self.taken, self.habits.wanted, taken=self.taken)
        self.stream = stream
        self._notes.opened(stream)
        options = (*OPTIONS, *(NARROW if self.habits.narrow else ()))
        stream.reason = "LEFT"
        try:
            async with aio.insecure_channel(target, options) as channel:
                call = self.noun.subscribe(channel)(self._request(name))
                try:
                    await self._read(call, stream)
                finally:
                    call.cancel()
        except (aio.AioRpcError, aio.InternalError) as failure:
            self._failed(stream, failure)
        except TimeoutError:
            stream.reason = "SILENT"
        finally:
            stream.ended = time.monotonic()
            self._notes.closed(stream)

    async def _read(self, call: Any, stream: Stream) -> None:
        left = self.habits.events * self._rng.random()
        while True:
            await self.reads.wait()
            if self.habits.pause:
                await asyncio.sleep(self.habits.pause)
            async with asyncio.timeout(SILENCE + HEARTBEAT):
                response = await call.read()
            if not isinstance(response, self.noun.response):
                stream.reason = "END"
                return
            message = message_of(response, self._notes.seen)
            self._notes.noted(stream, message)
            left -= len(message.events)
            self._take(stream, message, left)
            if left < 0:
                return

    def _take(self, stream: Stream, message: Message, left: float) -> None:
        """Processes the message, or the first part of it: then the rest comes again after what was processed."""
        if stream.start == "current" and message.what == "started":
            return
        position = message.position
        if left < 0 and (processed := message.events[: int(left)]):
            position = Position(position.epoch, processed[-1].sequence)
        elif left < 0 and self.taken is None:
            return
        elif left < 0:
            position = self.taken or position
        self.taken = stream.taken = position

    def _failed(self, stream: Stream, failure: aio.AioRpcError | aio.InternalError) -> None:
        error = error_of_call(failure)
        unknown = error.reason == errors_pb2.ERROR_REASON_UNSPECIFIED
        stream.reason = error.status if unknown else error.reason_name
        if error.reason in NEW_START:
            self.taken, self._start = None, "earliest"

    def _request(self, name: str) -> Any:
        request = self.noun.request(filter=self.habits.wanted, max_batch_size=self.habits.batch, subscriber_id=name)
        request.heartbeat_interval.FromMilliseconds(int(HEARTBEAT * 1000))
        if self.taken is not None:
            request.after.CopyFrom(streams_pb2.Position(epoch=self.taken.epoch, sequence=self.taken.sequence))
        elif self._start == "published_after":
            request.published_after.FromSeconds(int(time.time()) - 5)
        else:
            getattr(request, self._start).SetInParent()
        return request
