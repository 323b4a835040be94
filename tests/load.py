"""Load by the SDK that remembers: what was acknowledged, and what was delivered. It checks itself in the end."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Final

import grpc
import pytest

from ai_grpc.client import Published, SignalPublisher, SignalSubscriber
from ai_grpc.v1 import signals_pb2 as pb
from tests.faults.database import administrator, head
from tests.faults.history import Ack, Entry, check_acks, check_delivery, check_log, check_real_time, entry_of, the_log
from tests.signals import a_signal, an_active_model

# Makes the long tests longer, and their load larger.
SCALE: Final = float(os.environ.get("TEST_SCALE", "1"))
SCALED_SECONDS: Final = 300 * max(SCALE, 1)
# In the place of the bound of all tests.
scaled: Final = pytest.mark.timeout(SCALED_SECONDS + 60)
SYMBOLS: Final = ("AAPL", "BTCUSDT", "EURUSD", "MSFT", "XAUUSD")


def some_signals(model_ids: Sequence[str], count: int) -> Iterator[pb.Signal]:
    """Signals of all kinds, no two alike."""
    for _ in range(count):
        yield a_signal(
            random.choice(model_ids),
            symbol=random.choice(SYMBOLS),
            signal_type=random.choice((pb.SIGNAL_TYPE_BUY, pb.SIGNAL_TYPE_SELL, pb.SIGNAL_TYPE_HOLD)),
            confidence=round(random.random(), 4),
            reference_price=str(random.randrange(1, 10**9)),
        )


@asynccontextmanager
async def load_on(
    database: str, targets: Sequence[str], filters: Sequence[pb.SignalFilter], *, publishers: int, per_second: int
) -> AsyncIterator[list[Ack]]:
    """Publishers and subscribers on any of the targets, which need no help whatever happens to these meanwhile.

    Afterwards all that was sent is acknowledged, is in the log once, and was delivered once to all who wanted it.
    """
    acks: list[Ack] = []
    given: list[list[Entry]] = [[] for _ in filters]
    stop, end = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with grpc.aio.insecure_channel(targets[0]) as channel:
        model_ids = [await an_active_model(channel) for _ in range(2)]
    async with asyncio.TaskGroup() as following:
        for wanted, entries in zip(filters, given, strict=True):
            following.create_task(follow_steadily(_shuffled(targets), wanted, end, entries))
        async with asyncio.TaskGroup() as publishing:
            for _ in range(publishers):
                publishing.create_task(publish_steadily(_shuffled(targets), model_ids, per_second, stop, acks))
            yield acks
            stop.set()
        async with administrator(database) as admin:
            end.set_result(await head(admin))
    log = await the_log(database)
    check_log(log)
    check_acks(acks, log)
    check_real_time(acks)
    assert len(log) == len(acks), f"{len(acks)} signals were acknowledged, and {len(log)} are in the log"
    for wanted, entries in zip(filters, given, strict=True):
        check_delivery(entries, log, wanted)


async def publish_steadily(
    targets: Sequence[str], model_ids: Sequence[str], per_second: int, stop: asyncio.Event, acks: list[Ack]
) -> None:
    """Publishes by the SDK until it is told to stop, then waits for the last answers. All must be acknowledged."""
    sent: list[asyncio.Future[Published]] = []

    def remember(called: float, signal: pb.Signal, answer: asyncio.Future[Published]) -> None:
        if not answer.cancelled() and answer.exception() is None:
            acks.append(Ack(called, time.monotonic(), [signal], [answer.result().sequence]))

    async with SignalPublisher(targets) as publisher:
        while not stop.is_set():
            for signal in some_signals(model_ids, random.randint(1, per_second // 25)):
                called = time.monotonic()
                answer = await publisher.submit(signal)
                answer.add_done_callback(partial(remember, called, signal))
                sent.append(answer)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1 / 50)
    await asyncio.gather(*sent)


async def follow_steadily(
    targets: Sequence[str], wanted: pb.SignalFilter, end: asyncio.Future[int], entries: list[Entry]
) -> None:
    """Reads by the SDK, from the very first event up to the sequence that `end` tells."""
    heartbeat = timedelta(seconds=0.5)
    async with SignalSubscriber(targets, start="earliest", filter=wanted, heartbeat_interval=heartbeat) as subscriber:
        while not (end.done() and subscriber.position and subscriber.position.sequence >= end.result()):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    entries.append(entry_of(await anext(subscriber)))


def _shuffled(targets: Sequence[str]) -> list[str]:
    return random.sample(targets, len(targets))
