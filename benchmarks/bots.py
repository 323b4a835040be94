"""A process of many subscribers: `python -m benchmarks.bots HOST PORT SUBSCRIBERS STREAMS`.

There are that many streams on each connection. It says "ready" when all have begun. For each line that it reads, a
number of events, it answers when every subscriber has had that many since the beginning: how many frames came since the
answer before, and a histogram of how long after their signal_time the events arrived, in steps of 0.1 ms.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable

import uvloop

from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2
from benchmarks.bare import Subscriptions
from benchmarks.frames import sequences
from benchmarks.load import settle

STEP = 100_000


class Bots:
    """All subscribers of the process; each checks that nothing is missing or comes twice."""

    def __init__(self) -> None:
        self.frames = 0
        self.histogram: Counter[int] = Counter()
        self._started = self._events = 0
        self._goal = (0, 0)
        self._reached = asyncio.Event()
        self._failure = ""
        self._made: dict[int, int] = {}

    async def subscribe(self, host: str, port: int, streams: int) -> None:
        """Adds subscribers on one connection; they begin with the next event."""
        request = pb.SubscribeSignalsRequest(latest=streams_pb2.Latest())
        listeners = [self._listener() for _ in range(streams)]
        connection = Subscriptions(request, listeners, self.fail)
        await asyncio.get_running_loop().create_connection(lambda: connection, host, port)

    def fail(self, reason: str) -> None:
        """Ends the process: a stream ended, or brought what it must not."""
        self._failure = self._failure or reason
        self._check()

    async def until(self, started: int, events: int) -> None:
        """Returns when so many streams have begun and have brought so many events in all."""
        self._goal = (started, events)
        self._reached = asyncio.Event()
        self._check()
        await self._reached.wait()
        if self._failure:
            raise RuntimeError(self._failure)

    def _check(self) -> None:
        started, events = self._goal
        if self._failure or (self._started >= started and self._events >= events):
            self._reached.set()

    def _listener(self) -> Callable[[bytes], None]:
        last = 0

        def hear(message: bytes) -> None:
            nonlocal last
            now = time.time_ns()
            if found := sequences(message):
                if last and found != list(range(last + 1, last + 1 + len(found))):
                    self.fail(f"after {last} came {found}")
                last = found[-1]
                self._count(message, found, now)
            elif pb.SubscribeSignalsResponse.FromString(message).HasField("started"):
                self._started += 1
                self._check()

        return hear

    def _count(self, message: bytes, found: list[int], now: int) -> None:
        if found[-1] not in self._made:
            for event in pb.SubscribeSignalsResponse.FromString(message).batch.events:
                made = event.signal.signal_time
                self._made[event.sequence] = made.seconds * 1_000_000_000 + made.nanos
        for sequence in found:
            self.histogram[(now - self._made[sequence]) // STEP] += 1
        self._events += len(found)
        self.frames += 1
        self._check()


async def main(host: str, port: int, subscribers: int, streams: int) -> None:
    """Connects, then answers each line."""
    loop = asyncio.get_running_loop()
    bots = Bots()
    loop.set_exception_handler(lambda _, context: bots.fail(str(context)))
    for first in range(0, subscribers, streams):
        share = min(streams, subscribers - first)
        await bots.subscribe(host, port, share)
        await bots.until(first + share, 0)
    settle()
    print(json.dumps("ready"), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await bots.until(subscribers, int(line) * subscribers)
        print(json.dumps({"frames": bots.frames, "histogram": dict(bots.histogram)}), flush=True)
        bots.frames = 0
        bots.histogram.clear()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], *map(int, sys.argv[2:])))
