"""The clients of a drill, and what happens to them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection, Sequence
from random import Random
from typing import Final

from tests.chaos.bots import race
from tests.chaos.draining import drain
from tests.chaos.drill_loads import Load
from tests.chaos.drill_probes import ask
from tests.chaos.drill_publishers import Publishers
from tests.chaos.findings import some_anomalies
from tests.chaos.history import Measurement, Outcome
from tests.chaos.recording import Recording
from tests.chaos.sql_readers import SqlReader
from tests.chaos.sql_writers import INSERT, SqlWriter, rows_of
from tests.chaos.subscribers import Habits, Subscriber
from tests.faults.database import PIDS, administrator
from tests.server import ServerProcess

PHASE_SECONDS: Final = 0.4
CONVERGENCE_SECONDS: Final = 4.0
GRACE: Final = 3.0
GIVEN_UP: Final = 15.0
BOT_PAUSE: Final = 0.02
CURRENT: Final = 5
SQL_PAUSE: Final = 0.02
SQL_WRITERS: Final = 3
TRIMMED: Final = 0.1
BESIDE_SECONDS: Final = 1.0
TRIES: Final = 3


class Crowd:
    """The clients of a drill, and what happens to them."""

    def __init__(self, database: str, servers: Sequence[ServerProcess], model_ids: Sequence[str], load: Load) -> None:
        self._database, self._servers, self._model_ids, self._load = database, servers, model_ids, load
        self._targets = [server.target for server in servers]
        self._recording, self._rng = Recording(), Random(1)
        self._subscribers: list[tuple[Subscriber | SqlReader, asyncio.Task[None]]] = []
        self.history = self._recording.history

    async def run(self, faults: Collection[str]) -> None:
        """Load and faults, then peace, in which all must come to the head, be refused by name, and hear goodbye."""
        load, everything = self._load, self._load.noun.wanted()
        self._subscribe("all", Habits(wanted=everything, events=150))
        self._subscribe("choosy", Habits(wanted=load.choosy, events=100))
        for server in self._servers if "F1" not in faults else ():
            self._subscribe(f"only-{server.port}", Habits(wanted=everything), [server.target])
        if load.by_sql:
            self._follow(SqlReader("sql-reader", self._recording, load.ledger, everything, self._database))
        publishers = Publishers(load, self._recording, self._targets, self._rng)
        stop = asyncio.Event()
        async with publishers, asyncio.TaskGroup() as group:
            others = [group.create_task(self._bots(stop))]
            if load.by_sql:
                others += [group.create_task(self._write(number, stop)) for number in range(SQL_WRITERS)]
            await publishers.publish(self._model_ids[0], PHASE_SECONDS)
            newcomers = group.create_task(self._newcomers())
            killing = group.create_task(self._kill(publishers)) if "F1" in faults else newcomers
            await publishers.publish(self._model_ids[1], PHASE_SECONDS)
            await asyncio.wait([newcomers, killing])
            stop.set()
            await asyncio.wait(others)
            if "F17" in faults:
                await self._cut_off(publishers)
            if "F10" in faults:
                await self._publish_beside_a_transaction(publishers)
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

    async def _bots(self, stop: asyncio.Event) -> None:
        await race("bot", self._recording, self._targets, self._load.ending, self._rng, stop, BOT_PAUSE)

    async def _write(self, number: int, stop: asyncio.Event) -> None:
        rng = Random(self._rng.random())
        await SqlWriter(f"sql-{number}", self._recording, [self._database], self._model_ids, rng).run(stop, SQL_PAUSE)

    async def _newcomers(self) -> None:
        wanted = self._load.noun.wanted
        # What these two want of the past is not in the ring any more.
        self._subscribe("late", Habits(wanted=wanted(), batch=5))
        self._subscribe("late-choosy", Habits(wanted=self._load.choosy))
        for number in range(2):
            self._subscribe(f"next-{number}", Habits(wanted=wanted(model_ids=self._model_ids[1:])))
        for number in range(CURRENT):
            self._subscribe(f"current-{number}", Habits("current", wanted()))
            await asyncio.sleep(PHASE_SECONDS / 2 / CURRENT)

    async def _kill(self, publishers: Publishers) -> None:
        """Kills the first server in the moment in which it acknowledges what nobody else has been sent."""
        await publishers.publish_one(self._model_ids[1])
        await self._servers[0].kill()

    async def _cut_off(self, publishers: Publishers) -> None:
        """Whoever waited to be notified does so in vain, and only then something is published."""
        async with administrator(self._database) as admin:
            for purpose, pid in await admin.fetch(PIDS):
                if purpose == self._load.tail:
                    await admin.fetchval("SELECT pg_terminate_backend($1, 1000)", pid)
        await publishers.publish_one(self._model_ids[0])

    async def _publish_beside_a_transaction(self, publishers: Publishers) -> None:
        """Somebody has written by SQL and does not commit, and in the end nothing of it may be there."""
        async with administrator(self._database) as admin, asyncio.timeout(GIVEN_UP):
            transaction = admin.transaction()
            await transaction.start()
            await admin.execute(INSERT, rows_of(some_anomalies(self._model_ids, self._rng, 1)))
            least = math.inf
            for _ in range(TRIES):
                started = time.monotonic()
                await publishers.publish_one(self._model_ids[0])
                least = min(least, time.monotonic() - started)
                if least <= BESIDE_SECONDS:
                    break
            await transaction.rollback()
        what = "seconds until one was written beside an open transaction"
        self.history.measurements.append(Measurement("I17", what, least, BESIDE_SECONDS))

    async def _converge(self) -> None:
        async with administrator(self._database) as admin:
            head = await admin.fetchval(self._load.ledger.head)
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
            await admin.fetchval(self._load.ledger.trim, TRIMMED)
            epoch, floor, head = await admin.fetchrow(self._load.ledger.state)
        self.history.probes += await ask(self._targets[1], self._load.noun, epoch, floor, head)

    async def _drain(self, server: ServerProcess) -> None:
        if server.process is None or server.process.returncode is not None:
            return
        subscribers = [one for one, _ in self._subscribers if isinstance(one, Subscriber)]
        self.history.drains.append(await drain(server, server.target, subscribers, GRACE))

    def _subscribe(self, name: str, habits: Habits, targets: Sequence[str] = ()) -> None:
        self._follow(Subscriber(name, self._recording, targets or self._targets, habits, Random(self._rng.random())))

    def _follow(self, subscriber: Subscriber | SqlReader) -> None:
        self._subscribers.append((subscriber, asyncio.create_task(subscriber.run())))
