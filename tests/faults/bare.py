"""Load by the bare contract, without the SDK."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import grpc
from grpc.aio import EOF

from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.faults.history import Ack, Entry, entry_of
from tests.server import ServerProcess
from tests.signals import reason

if TYPE_CHECKING:
    from ai_grpc.v1.signals_pb2_grpc import SignalServiceAsyncStub

LARGEST_REQUEST: Final = 200
CALL_SECONDS: Final = 30


@asynccontextmanager
async def stubs_of(servers: Sequence[ServerProcess]) -> AsyncIterator[list[SignalServiceAsyncStub]]:
    """A stub for each server, over a channel of its own."""
    channels = [grpc.aio.insecure_channel(server.target) for server in servers]
    try:
        yield [SignalServiceStub(channel) for channel in channels]
    finally:
        for channel in channels:
            await channel.close()


def in_requests(signals: Sequence[pb.Signal]) -> list[Sequence[pb.Signal]]:
    """Cuts signals into requests of 1 to LARGEST_REQUEST, most of them small."""
    requests = []
    start = 0
    while start < len(signals):
        end = start + round(LARGEST_REQUEST ** random.random())
        requests.append(signals[start:end])
        start = end
    return requests


async def publish_one_by_one(
    stubs: Sequence[SignalServiceAsyncStub], requests: Sequence[Sequence[pb.Signal]], acks: list[Ack]
) -> None:
    """Publishes each request by a call of its own, to any server, after the one before was acknowledged."""
    for signals in requests:
        called = time.monotonic()
        request = pb.PublishSignalsRequest(signals=signals)
        response = await random.choice(stubs).PublishSignals(request, timeout=CALL_SECONDS)
        acks.append(Ack(called, time.monotonic(), signals, [result.sequence for result in response.results]))


async def publish_on_stream(
    stub: SignalServiceAsyncStub, requests: Sequence[Sequence[pb.Signal]], acks: list[Ack]
) -> None:
    """Publishes all requests on one stream, without waiting."""
    call = stub.PublishSignalStream()
    calls: deque[float] = deque()

    async def send() -> None:
        for signals in requests:
            calls.append(time.monotonic())
            await call.write(pb.PublishSignalStreamRequest(signals=signals))
        await call.done_writing()

    async with asyncio.TaskGroup() as sender:
        sender.create_task(send())
        for signals in requests:
            response = await call.read()
            assert isinstance(response, pb.PublishSignalStreamResponse), "the stream ended"
            assert not response.HasField("error"), response.error
            sequences = [result.sequence for result in response.results]
            acks.append(Ack(calls.popleft(), time.monotonic(), signals, sequences))
    assert await call.read() is EOF


class Follower:
    """A subscriber from the very first event that changes servers at random, and goes on where it was."""

    def __init__(self, stubs: Sequence[SignalServiceAsyncStub], wanted: pb.SignalFilter, patience: int) -> None:
        self.entries: list[Entry] = []
        self._stubs, self._wanted, self._patience = stubs, wanted, patience
        self._position: streams_pb2.Position | None = None

    async def follow(self, end: asyncio.Future[int]) -> list[Entry]:
        """Everything up to the sequence that `end` tells."""
        while not self._is_past(end):
            call = random.choice(self._stubs).SubscribeSignals(self._request())
            try:
                await self._read(call, random.randint(1, self._patience), end)
            except grpc.aio.AioRpcError as error:
                # The other server is further than this one was within a second.
                if reason(error) != "POSITION_AHEAD":
                    raise
            finally:
                call.cancel()
        return self.entries

    async def _read(
        self,
        call: grpc.aio.UnaryStreamCall[pb.SubscribeSignalsRequest, pb.SubscribeSignalsResponse],
        most: int,
        end: asyncio.Future[int],
    ) -> None:
        """Reads at most so many events; it stops inside a batch, as somebody does who works them off one by one."""
        async for message in call:
            before = self._position.sequence if self._position else 0
            assert message.position.sequence >= before, "the position went back"
            self._position = message.position
            for event in message.batch.events:
                assert before < event.sequence <= message.position.sequence, "an event is beside its position"
                self.entries.append(entry_of(event))
                most -= 1
                if most == 0:
                    self._position.sequence = event.sequence
                    return
            if self._is_past(end):
                return

    def _is_past(self, end: asyncio.Future[int]) -> bool:
        return end.done() and self._position is not None and self._position.sequence >= end.result()

    def _request(self) -> pb.SubscribeSignalsRequest:
        request = pb.SubscribeSignalsRequest(filter=self._wanted, max_batch_size=random.randint(1, 1000))
        request.heartbeat_interval.FromMilliseconds(100)
        if self._position is None:
            request.earliest.SetInParent()
        else:
            request.after.CopyFrom(self._position)
        return request
