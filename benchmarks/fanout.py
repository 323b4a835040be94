"""Section fanout: many subscribers of one server process, each on a connection of its own, or some on one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil

from benchmarks.audience import Audience, audience, percentile_of
from benchmarks.load import Call
from benchmarks.stage import Exchange, Stage

SHARES = (10, 3, 1)
PER_SECOND = 100
FRAME = 10
# A hundred a second would share frames: a server that is busy sends together what has come meanwhile.
PER_SECOND_ALONE = 20
STREAMS = {"": 1, ", shared connections": 50}


@asynccontextmanager
async def fanout(stage: Stage) -> AsyncIterator[Call]:
    """Delivery by number of subscribers, and the server's time for each of the deliveries."""
    most = stage.scale.subscribers
    # Those of the audience before may take a moment to leave.
    async with stage.exchange(settings={"AI_GRPC_MAX_SUBSCRIPTIONS": str(2 * most)}) as exchange:

        async def round() -> None:
            for size in sizes(most)[:-1]:
                async with audience(exchange, size) as listeners:
                    await delivery(stage, exchange, listeners, f"delivery to {size}")
            for suffix, streams in STREAMS.items():
                async with audience(exchange, most, streams) as listeners:
                    await delivery(stage, exchange, listeners, f"delivery to all{suffix}")
                    await cost(stage, exchange, listeners, 1, PER_SECOND_ALONE, suffix)
                    await cost(stage, exchange, listeners, FRAME, PER_SECOND / FRAME, suffix)

        yield round
        await exchange.check_stored()


def sizes(most: int) -> list[int]:
    """The numbers of subscribers that are measured."""
    return [most // share for share in SHARES]


async def delivery(stage: Stage, exchange: Exchange, listeners: Audience, name: str) -> None:
    """How long events are on their way at 100 signals a second, each published by itself."""
    signals = int(PER_SECOND * stage.scale.seconds)
    _, histogram = await listeners.hear(exchange, signals, 1, PER_SECOND)
    stage.figures.note(f"{name} p50", percentile_of(histogram, 0.5))
    stage.figures.note(f"{name} p99", percentile_of(histogram, 0.99))
    stage.figures.note(f"{name} complete", histogram.total() / (signals * listeners.subscribers))


async def cost(
    stage: Stage, exchange: Exchange, listeners: Audience, size: int, per_second: float, suffix: str
) -> None:
    """The server's CPU time for a delivery, in requests of a size, at a pace that leaves it idle in between."""
    requests = max(1, int(per_second * stage.scale.seconds))
    process = psutil.Process(exchange.pid)
    before = process.cpu_times()
    frames, histogram = await listeners.hear(exchange, requests, size, per_second)
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    stage.figures.note(f"delivery in frames of {size}{suffix} cpu", spent / histogram.total())
    stage.figures.note(f"published by {size}{suffix} a frame", histogram.total() / frames)
