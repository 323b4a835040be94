"""Publishing: many signals in flight on one stream, each acknowledged, none lost when the connection breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import grpc

from ai_grpc import errors
from ai_grpc.client.channel import Route
from ai_grpc.client.lane import Lane
from ai_grpc.client.publication import MOST_BYTES, Publication, Published, encode
from ai_grpc.v1 import errors_pb2
from ai_grpc.v1 import signals_pb2 as pb

_CLOSE_TIMEOUT: Final = 0.5


class SignalPublisher:
    """Publishes signals over one stream, to one of the targets at a time.

    ```python
    async with SignalPublisher("localhost:50051") as publisher:
        signal = pb.Signal(
            model_id=model_id, symbol="EURUSD", signal_type=pb.SIGNAL_TYPE_BUY, confidence=0.8, price_target="1.0950"
        )
        published = await publisher.publish(signal)
        print(published.signal_id, published.sequence, published.duplicate)
    ```

    Signals are sent in the order of the calls, and those of concurrent calls share messages. When a message is refused
    for the sake of one signal, the others in it are sent again, after what has been sent meanwhile; with `max_messages`
    at 1 there is nothing of the kind. When the connection breaks, what was not acknowledged is sent again under the
    same ids, to the next target: nothing is lost and nothing is there twice.
    """

    def __init__(
        self,
        targets: str | Sequence[str],
        *,
        max_in_flight: int = 10_000,
        max_messages: int = 2,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._room = asyncio.Semaphore(max_in_flight)
        self._lane = Lane(Route(targets, credentials), max_messages, self._room.release)
        self._running: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None

    async def publish(self, signal: pb.Signal, *, timeout: float = 30) -> Published:  # noqa: ASYNC109 - travels with the signal
        """Publishes a signal and returns where it is, after it was committed.

        The signal itself stays as it is; what is sent gets a signal_id (UUIDv7) and a signal_time (now) if it has none.
        Raises the service's refusal as one of `ai_grpc.errors`, or TimeoutError if there was no answer in time: then
        the outcome is unknown, and a signal with an id and a time of its own may be published again.
        """
        return await (await self.submit(signal, timeout=timeout))

    async def submit(self, signal: pb.Signal, *, timeout: float = 30) -> asyncio.Future[Published]:  # noqa: ASYNC109 - travels with the signal
        """Publishes a signal without waiting for its commit: only until fewer than `max_in_flight` are under way.

        The future tells what `publish` would.
        """
        encoded, signal_id = encode(signal)
        if len(encoded) > MOST_BYTES:
            violation = errors.Violation("signal", f"has {len(encoded)} bytes; at most {MOST_BYTES} can be sent")
            raise errors.InvalidArgument(violation)
        loop = asyncio.get_running_loop()
        publication = Publication(encoded, signal_id, loop.time() + timeout, loop.create_future())
        if self._room.locked():
            async with asyncio.timeout_at(publication.deadline):
                await self._room.acquire()
        else:
            await self._room.acquire()
        if self._running is None or self._running.done():
            self._room.release()
            raise _closed()
        self._lane.put(publication)
        if self._expiry is None or publication.deadline < self._expiry.when():
            self._expire_at(publication.deadline)
        return publication.answer

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._lane.run(), name="ai_grpc publisher")
        self._running.add_done_callback(self._end)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for the answers that are due, each until its timeout; not if there was an error."""
        assert self._running is not None
        try:
            if kind is None:
                if answers := [publication.answer for publication in self._lane]:
                    await asyncio.wait(answers)
                self._lane.close()
                await asyncio.wait([self._running], timeout=_CLOSE_TIMEOUT)
        finally:
            self._running.cancel()
            await asyncio.wait([self._running])
            if not self._running.cancelled():
                self._running.result()

    def _end(self, running: asyncio.Task[None]) -> None:
        closed = _closed()
        closed.__cause__ = None if running.cancelled() else running.exception()
        for publication in self._lane:
            publication.fail(closed)
        if self._expiry is not None:
            self._expiry.cancel()

    def _expire_at(self, moment: float) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = asyncio.get_running_loop().call_at(moment, self._expire)

    def _expire(self) -> None:
        """One timer for all: it goes off at the earliest deadline of those that waited when it was set."""
        now = asyncio.get_running_loop().time()
        self._expiry = None
        for publication in self._lane:
            if publication.deadline <= now:
                trouble = f"; the last trouble was: {self._lane.trouble}" if self._lane.trouble else ""
                text = f"signal {publication.signal_id} was not answered in time{trouble}"
                publication.fail(TimeoutError(text))
        self._lane.sweep()
        if deadlines := [publication.deadline for publication in self._lane if publication.deadline > now]:
            self._expire_at(min(deadlines))


def _closed() -> errors.Unavailable:
    return errors.Unavailable(errors_pb2.ERROR_REASON_UNSPECIFIED, "the publisher is closed")
