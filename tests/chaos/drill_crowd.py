"""The clients of a drill, and what happens to them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection, Sequence
from random import Random
from typing import Final

from ai_grpc.v1 import signals_pb2 as pb
from tests.chaos.bots import a_state, race
from tests.chaos.drill_probes import ask
from tests.chaos.drill_publishers import Publishers
from tests.chaos.history import Drain, Measurement, Outcome
from tests.chaos.recording import Recording
from tests.chaos.subscribers import Habits, Subscriber
from tests.faults.database import HEAD, PIDS, administrator
from tests.server import ServerProcess

PHASE_SECONDS: Final = 0.4
CONVERGENCE_SECONDS: Final = 4.0
GRACE: Final = 3.0
BOT_PAUSE: Final = 0.02
CURRENT: Final = 5
TRIM: Final = "SELECT ai_trading.trim_signal_log($1)"
EPOCH: Final = "SELECT epoch::text FROM ai_trading.log_meta"
TRIMMED: Final = 50


class Crowd:
    """The clients of a drill, and what happens to them."""

    def __init__(self, database: str, servers: Sequence[ServerProcess], model_ids: Sequence[str]) -> None:
        self._database, self._servers, self._model_ids = database, servers, model_ids
        self._targets = [server.target for server in servers]
        self._recording, self._rng = Recording(), Random(1)
        self._subscribers: list[tuple[Subscriber, asyncio.Task[None]]] = []
        self.history = self._recording.history

    async def run(self, faults: Collection[str]) -> None:
        """Load and faults, then peace, in which all must come to the head, be refused by name, and hear goodbye."""
        self._subscribe("all", Habits(events=150))
        self._subscribe("confident", Habits(wanted=pb.SignalFilter(min_confidence=0.8), events=100))
        for server in self._servers if "F1" not in faults else ():
            self._subscribe(f"only-{server.port}", Habits(), [server.target])
        publishers = Publishers(self._recording, self._targets, self._rng)
        stop = asyncio.Event()
        async with publishers, asyncio.TaskGroup() as group:
            bots = group.create_task(race("bot", self._recording, self._targets, a_state, self._rng, stop, BOT_PAUSE))
            await publishers.publish(self._model_ids[0], PHASE_SECONDS)
            newcomers = group.create_task(self._newcomers())
            killing = group.create_task(self._kill(self._servers[0])) if "F1" in faults else newcomers
            await publishers.publish(self._model_ids[1], PHASE_SECONDS)
            await asyncio.wait([newcomers, killing])
            stop.set()
            await bots
            if "F17" in faults:
                await self._cut_off(publishers)
        await self._converge()
        if "F14" in faults or "F18" in faults:
            await self._ask_for_what_is_gone()
        if "F3" in faults:
            await self._drain(self._servers[1])

    async def leave(self) -> None:
        """Ends the subscribers."""
        for _, task in self._subscribers:
            task.cancel()
        if self._subscribers:
            await asyncio.wait([task for _, task in self._subscribers])

    async def _newcomers(self) -> None:
        self._subscribe("late", Habits(batch=5))
        for number in range(2):
            self._subscribe(f"next-{number}", Habits(wanted=pb.SignalFilter(model_ids=self._model_ids[1:])))
        for number in range(CURRENT):
            self._subscribe(f"current-{number}", Habits("current"))
            await asyncio.sleep(PHASE_SECONDS / 2 / CURRENT)

    async def _kill(self, server: ServerProcess) -> None:
        """Kills the server in the moment in which it acknowledges a request."""
        known, end = len(self.history.publishes), time.monotonic() + PHASE_SECONDS
        while time.monotonic() < end:
            # They are written down when they are sent, and their outcome when it is known.
            begun = self.history.publishes[known:]
            if any(publish.outcome is Outcome.OK and publish.replica == server.target for publish in begun):
                break
            await asyncio.sleep(0.001)
        await server.kill()

    async def _cut_off(self, publishers: Publishers) -> None:
        """Whoever waited to be notified does so in vain, and only then something is published."""
        async with administrator(self._database) as admin:
            for purpose, pid in await admin.fetch(PIDS):
                if purpose == "tail":
                    await admin.fetchval("SELECT pg_terminate_backend($1, 1000)", pid)
        await publishers.publish_one(self._model_ids[0])

    async def _converge(self) -> None:
        async with administrator(self._database) as admin:
            head = await admin.fetchval(HEAD)
        started, seconds = time.monotonic(), 0.0
        while any(one.taken is None or one.taken.sequence < head for one, _ in self._subscribers):
            await asyncio.sleep(0.02)
            seconds = time.monotonic() - started
            if seconds > CONVERGENCE_SECONDS or self._is_hopeless():
                seconds = math.inf
                break
        what = "seconds until every subscriber was at the head"
        self.history.measurements.append(Measurement("I13", what, seconds, CONVERGENCE_SECONDS))
        served = any(publish.outcome is Outcome.OK for publish in self.history.publishes)
        self.history.measurements.append(Measurement("I13", "publishers that were not served at all", not served, 0))

    def _is_hopeless(self) -> bool:
        running = [server for server in self._servers if server.process and server.process.returncode is None]
        return not running or any(stream.reason == "INTERNAL" for stream in self.history.streams)

    async def _ask_for_what_is_gone(self) -> None:
        async with administrator(self._database) as admin:
            await admin.fetchval(TRIM, TRIMMED)
            epoch, head = await admin.fetchval(EPOCH), await admin.fetchval(HEAD)
        # The replicas learn of the floor by their next poll.
        await asyncio.sleep(0.3)
        self.history.probes += await ask(self._targets[1], epoch, TRIMMED, head)

    async def _drain(self, server: ServerProcess) -> None:
        if server.process is None or server.process.returncode is not None:
            return
        streams = [one.stream for one, _ in self._subscribers if one.stream and one.stream.replica == server.target]
        started = time.monotonic()
        status = await server.terminate()
        seconds = time.monotonic() - started
        closings = sum(any(message.what == "closing" for message in stream.messages) for stream in streams)
        self.history.drains.append(Drain(server.target, seconds, GRACE, status, len(streams), closings))

    def _subscribe(self, name: str, habits: Habits, targets: Sequence[str] = ()) -> None:
        subscriber = Subscriber(name, self._recording, targets or self._targets, habits, Random(self._rng.random()))
        self._subscribers.append((subscriber, asyncio.create_task(subscriber.run())))
