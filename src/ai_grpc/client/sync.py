"""The SDK for programs without an event loop: the same, called from threads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import CancelledError
from datetime import timedelta
from types import TracebackType
from typing import Self, Unpack

import grpc

from ai_grpc.client.background import BACKGROUND
from ai_grpc.client.options import SubscriberOptions
from ai_grpc.client.publication import Published
from ai_grpc.client.publisher import SignalPublisher
from ai_grpc.client.subscribers import SignalSubscriber
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2


class SyncPublisher:
    """SignalPublisher for any number of threads.

    ```python
    with SyncPublisher("localhost:50051") as publisher:
        published = publisher.publish(
            pb.Signal(model_id=model_id, symbol="EURUSD", signal_type=pb.SIGNAL_TYPE_SELL, confidence=0.7)
        )
        print(published.sequence)
    ```
    """

    def __init__(
        self,
        targets: str | Sequence[str],
        *,
        max_in_flight: int = 10_000,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._publisher = SignalPublisher(targets, max_in_flight=max_in_flight, credentials=credentials)
        self._open = True
        BACKGROUND.join()
        BACKGROUND.run(self._publisher.__aenter__())

    def publish(self, signal: pb.Signal, *, timeout: float = 30) -> Published:
        """As SignalPublisher.publish."""
        return BACKGROUND.run(self._publisher.publish(signal, timeout=timeout))

    def close(self) -> None:
        """Waits for the answers that are due, then ends the stream."""
        if self._open:
            self._open = False
            try:
                BACKGROUND.run(self._publisher.__aexit__(None, None, None))
            finally:
                BACKGROUND.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SyncSubscriber:
    """SignalSubscriber for one thread: the events are read when they are asked for, a batch at a time.

    ```python
    with SyncSubscriber("localhost:50051", start="current", position=load_position()) as subscriber:
        for event in subscriber:
            trade(event)
            save_position(subscriber.position)
    ```
    """

    def __init__(self, targets: str | Sequence[str], **options: Unpack[SubscriberOptions]) -> None:
        self._subscriber = SignalSubscriber(targets, **options)
        self._open = True
        BACKGROUND.join()

    @property
    def position(self) -> streams_pb2.Position | None:
        """As SignalSubscriber.position."""
        return self._subscriber.position

    @property
    def caught_up(self) -> bool:
        """As SignalSubscriber.caught_up."""
        return self._subscriber.caught_up.is_set()

    @property
    def lag(self) -> timedelta | None:
        """As SignalSubscriber.lag."""
        return self._subscriber.lag

    @property
    def skipped(self) -> int:
        """As SignalSubscriber.skipped."""
        return self._subscriber.skipped

    def poll(self, timeout: float) -> pb.SignalEvent | None:
        """The next event, or None if there is none within `timeout` seconds."""
        return self._subscriber.next_at_hand() or BACKGROUND.run(self._next(timeout))

    def close(self) -> None:
        """Ends the stream, and the iteration of a thread that waits in it."""
        if self._open:
            self._open = False
            try:
                BACKGROUND.run(self._subscriber.close())
            finally:
                BACKGROUND.leave()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> pb.SignalEvent:
        # While this thread waits, the loop works on the subscriber; else only this thread does.
        while (event := self._subscriber.next_at_hand()) is None:
            if not self._open:
                raise StopIteration
            try:
                BACKGROUND.run(self._subscriber.receive())
            except (StopAsyncIteration, CancelledError):
                raise StopIteration from None
        return event

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _next(self, timeout: float) -> pb.SignalEvent | None:  # noqa: ASYNC109 - None says that it passed
        try:
            async with asyncio.timeout(timeout):
                return await anext(self._subscriber)
        except TimeoutError:
            return None
