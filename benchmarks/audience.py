"""Many subscribers in client processes, and signals published to them at a pace."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from ai_grpc.v1 import signals_pb2 as pb
from benchmarks.bots import STEP
from benchmarks.load import a_signal
from benchmarks.processes import Client, client
from benchmarks.stage import Exchange

PROCESSES = 2
START_SECONDS = 60
DELIVERY_SECONDS = 30


class Audience:
    """The client processes of some subscribers, and how many events each of these has had."""

    def __init__(self, clients: list[Client], subscribers: int) -> None:
        self.clients, self.subscribers = clients, subscribers
        self.heard = 0

    async def hear(self, exchange: Exchange, requests: int, size: int, per_second: float) -> tuple[int, Counter[int]]:
        """Publishes requests of a size at a pace; returns the frames that came, and the histogram of the delays.

        Raises TimeoutError if anything is not delivered.
        """
        self.heard += requests * size
        for each in self.clients:
            each.tell(self.heard)
        await _publish(exchange, requests, size, per_second)
        answers = await asyncio.gather(*(each.answer(DELIVERY_SECONDS) for each in self.clients))
        frames, histogram = 0, Counter[int]()
        for answer in answers:
            frames += answer["frames"]
            histogram.update({int(step): count for step, count in answer["histogram"].items()})
        return frames, histogram


@asynccontextmanager
async def audience(exchange: Exchange, subscribers: int, streams: int = 1) -> AsyncIterator[Audience]:
    """So many subscribers, all of which have begun, with so many streams on each connection."""
    host, port = exchange.target.rsplit(":", 1)
    shares = [subscribers // PROCESSES, subscribers - subscribers // PROCESSES]
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(client("benchmarks.bots", host, port, share, streams)) for share in shares
        ]
        for each in clients:
            await each.answer(START_SECONDS)
        yield Audience(clients, subscribers)


def percentile_of(histogram: Counter[int], share: float) -> float:
    """In seconds, rounded up to the step."""
    rest = share * histogram.total()
    for step in sorted(histogram):
        rest -= histogram[step]
        if rest <= 0:
            return (step + 1) * STEP / 1e9
    raise ValueError("an empty histogram")


async def _publish(exchange: Exchange, requests: int, size: int, per_second: float) -> None:
    """Calls at their times, whether or not those before were answered; a signal is made when its call is due."""
    begin = time.time_ns()
    async with asyncio.TaskGroup() as calls:
        for number in range(requests):
            due = begin + int(number / per_second * 1e9)
            await asyncio.sleep((due - time.time_ns()) / 1e9)
            signals = [a_signal(exchange.model_id, due) for _ in range(size)]
            calls.create_task(_call(exchange, pb.PublishSignalsRequest(signals=signals)))


async def _call(exchange: Exchange, request: pb.PublishSignalsRequest) -> None:
    await exchange.signals.PublishSignals(request, timeout=DELIVERY_SECONDS)
    exchange.acked += len(request.signals)
