"""Speed as ratios: every row divides a figure by a ceiling of the same run, and is the median of its rounds."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import grpc
import uvloop
from rich.console import Console
from rich.table import Table

from ai_grpc import db, migrations
from ai_grpc.client import SignalPublisher
from ai_grpc.settings import Settings
from ai_grpc.v1 import models_pb2, signals_pb2
from ai_grpc.v1.models_pb2_grpc import ModelServiceStub
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from benchmarks.ceilings import append_seconds, empty_server
from benchmarks.load import a_signal, one_by_one, rate
from tests.cluster import Cluster
from tests.server import serving

if TYPE_CHECKING:
    from ai_grpc.v1.signals_pb2_grpc import SignalServiceAsyncStub

MICROSECOND = 1e-6


@dataclass(frozen=True, slots=True)
class Row:
    """A ratio, what it is made of, and its target."""

    name: str
    value: str
    divided_by: str
    ratios: list[float]
    target: float
    at_most: bool

    @property
    def ratio(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool:
        """Whether the median is on the right side of the target."""
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


class Bench:
    """One exchange, its ceilings, and the figures of every round."""

    def __init__(self, target: str, empty: str, connection: asyncpg.Connection, seconds: float) -> None:
        self.channel, self.empty_channel = grpc.aio.insecure_channel(target), grpc.aio.insecure_channel(empty)
        self.signals, self.empty = SignalServiceStub(self.channel), SignalServiceStub(self.empty_channel)
        self.target, self.connection, self.seconds = target, connection, seconds
        self.model_id = ""
        self.figures: dict[str, list[float]] = {}

    async def begin(self) -> None:
        """Registers the model that publishes."""
        request = models_pb2.RegisterModelRequest(model_name="bench", version="1", model_type="genetic_optimization")
        response = await ModelServiceStub(self.channel).RegisterModel(request, wait_for_ready=True)
        self.model_id = response.model.model_id

    def note(self, name: str, figure: float) -> None:
        """Adds this round's figure."""
        self.figures.setdefault(name, []).append(figure)

    def publish_on(self, stub: SignalServiceAsyncStub) -> Callable[[], Awaitable[object]]:
        """A unary call with one new signal."""

        async def call() -> object:
            return await stub.PublishSignals(signals_pb2.PublishSignalsRequest(signals=[a_signal(self.model_id)]))

        return call

    async def round(self) -> None:
        """Every figure once, ceilings and their quotients side by side."""
        count = max(50, int(200 * self.seconds))
        empty_call = self.publish_on(self.empty)
        singles = [[a_signal(self.model_id)] for _ in range(count)]
        self.note("empty p50", statistics.median(await one_by_one(empty_call, count)))
        self.note("append p50", statistics.median(await append_seconds(self.connection, singles, empty_call)))
        acks, events = await self.acks_and_events(count)
        self.note("ack p50", statistics.median(acks))
        self.note("event p50", statistics.median(events))
        self.note("empty rate", await rate(self.publish_on(self.empty), 128, self.seconds))
        self.note("unary rate", await rate(self.publish_on(self.signals), 128, self.seconds))
        hundreds = [[a_signal(self.model_id) for _ in range(100)] for _ in range(max(10, int(20 * self.seconds)))]
        self.note("append rate", 100 / statistics.median(await append_seconds(self.connection, hundreds, nothing)))
        ready = iter([a_signal(self.model_id) for _ in range(int(40_000 * self.seconds))])
        async with SignalPublisher(self.target) as publisher:
            await publisher.publish(next(ready))
            self.note("publisher rate", await rate(lambda: publisher.publish(next(ready)), 128, self.seconds))

    async def acks_and_events(self, count: int) -> tuple[list[float], list[float]]:
        """Seconds from the call to its ack, and to the event at a subscriber, one call in flight."""
        started: dict[str, float] = {}
        events: list[float] = []
        acks: list[float] = []
        request = signals_pb2.SubscribeSignalsRequest(latest=signals_pb2.SubscribeSignalsRequest.Latest())
        stream = self.signals.SubscribeSignals(request)
        await stream.read()
        arrived = asyncio.Event()

        async def subscriber() -> None:
            while len(events) < count:
                message = await stream.read()
                assert isinstance(message, signals_pb2.SubscribeSignalsResponse)
                now = time.perf_counter()
                for event in message.batch.events:
                    # The direct appends before reach the server by its poll.
                    if event.signal.signal_id in started:
                        events.append(now - started[event.signal.signal_id])
                        arrived.set()

        reader = asyncio.create_task(subscriber())
        for _ in range(count):
            arrived.clear()
            signal = a_signal(self.model_id)
            started[signal.signal_id] = before = time.perf_counter()
            await self.signals.PublishSignals(signals_pb2.PublishSignalsRequest(signals=[signal]))
            acks.append(time.perf_counter() - before)
            await asyncio.wait_for(arrived.wait(), 10)
        await reader
        stream.cancel()
        return acks, events

    def rows(self) -> list[Row]:
        """The figures, divided."""
        return [
            self._row("unary ack p50, 1 in flight", "ack p50", ["empty p50", "append p50"], 1.35, at_most=True),
            self._row("event at the subscriber p50", "event p50", ["ack p50"], 1.15, at_most=True),
            self._row("unary, 128 in flight", "unary rate", ["empty rate"], 0.7, at_most=False),
            self._row("SDK publisher, 128 in flight", "publisher rate", ["append rate"], 0.6, at_most=False),
        ]

    def _row(self, name: str, value: str, ceilings: list[str], target: float, *, at_most: bool) -> Row:
        sums = [sum(figures) for figures in zip(*(self.figures[ceiling] for ceiling in ceilings), strict=True)]
        ratios = [figure / ceiling for figure, ceiling in zip(self.figures[value], sums, strict=True)]
        divided_by = " + ".join(f"{ceiling} {self._figure(ceiling)}" for ceiling in ceilings)
        return Row(name, self._figure(value), divided_by, ratios, target, at_most)

    def _figure(self, name: str) -> str:
        median = statistics.median(self.figures[name])
        return f"{median:,.0f} /s" if name.endswith("rate") else f"{median / MICROSECOND:,.0f} µs"


async def nothing() -> None:
    """Done between direct appends in a row."""


async def run(rounds: int, seconds: float) -> list[Row]:
    """All rounds on an exchange and a PostgreSQL of their own."""
    with Cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        dsn = cluster.url()
        await asyncio.to_thread(migrations.up, dsn)
        log = Path(folder) / "server.log"
        connection = await db.connect(dsn, Settings(), "bench", keyed=True)
        async with serving(dsn, log) as server, empty_server() as empty:
            bench = Bench(server.target, empty, connection, seconds)
            await bench.begin()
            for number in range(rounds):
                print(f"round {number + 1} of {rounds} ...", flush=True)
                await bench.round()
            await bench.channel.close()
            await bench.empty_channel.close()
        await connection.close()
    return bench.rows()


def main() -> None:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement")
    arguments = parser.parse_args()
    rows = uvloop.run(run(arguments.rounds, arguments.seconds))
    table = Table("what", "figure", "divided by", "ratio", "spread", "target", "")
    for row in rows:
        spread = f"{min(row.ratios):.2f}-{max(row.ratios):.2f}"
        target = f"{'≤' if row.at_most else '≥'} {row.target}"
        table.add_row(
            row.name, row.value, row.divided_by, f"{row.ratio:.2f}", spread, target, "met" if row.met else "MISS"
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
