"""All clients of a run: who publishes and reports, who ends and resolves, and who subscribes from where."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from google.protobuf.message import Message

from ai_grpc.client.options import Start
from ai_grpc.v1 import anomalies_pb2, optimization_pb2
from ai_grpc.v1 import signals_pb2 as pb
from tests.chaos.arena import Arena
from tests.chaos.bots import a_resolution, a_state, race
from tests.chaos.children import Child
from tests.chaos.findings import an_anomaly_filter
from tests.chaos.fleet import FAKETIME, faketime
from tests.chaos.history import Stream
from tests.chaos.lanes import StreamPublisher
from tests.chaos.ledgers import EVENTS, SIGNALS, Ledger
from tests.chaos.nouns import ANOMALY, GENERATION, SIGNAL, Noun, noun_of
from tests.chaos.publishers import UnaryPublisher, publish_by_sdk
from tests.chaos.sdk_subscribers import SdkSubscriber
from tests.chaos.signals import a_filter
from tests.chaos.sql_readers import SqlReader
from tests.chaos.sql_writers import SqlWriter
from tests.chaos.subscribers import Habits, Subscriber

UNARY_PAUSE: Final = 0.16
LANE_PAUSE: Final = 0.12
SDK_PAUSE: Final = 0.06
BOT_PAUSE: Final = 0.15
REPORTER_PAUSE: Final = 0.2
RECORDER_PAUSE: Final = 0.25
SQL_PAUSE: Final = 0.2
RESOLVER_PAUSE: Final = 0.2
MOST: Final = {SIGNAL: 20, ANOMALY: 20, GENERATION: 1}
STOP_SECONDS: Final = 45
CHILD_CLOCK: Final = "-3600"


Follower = Subscriber | SdkSubscriber | SqlReader


class Clients:
    """They need no help, whatever happens to the servers; who runs them sees what breaks in themselves."""

    def __init__(self, arena: Arena, group: asyncio.TaskGroup, seed: int) -> None:
        self._arena, self._group, self._rng = arena, group, Random(seed)
        self._stop = asyncio.Event()
        self._publishing: list[asyncio.Task[None]] = []
        self._subscribing: list[asyncio.Task[None]] = []
        self.subscribers: list[Follower] = []

    async def start(self) -> None:
        """Everybody begins."""
        arena = self._arena
        arena.witnesses = [
            self._subscriber(f"witness-{noun.field}-{replica.name}", Habits("latest", noun.wanted()), [replica.target])
            for noun in (SIGNAL, ANOMALY)
            for replica in arena.replicas
        ]
        arena.victims = [
            self._subscriber(f"victim-{number}", Habits("earliest", noun.wanted(), batch=20, narrow=True))
            for number, noun in enumerate((SIGNAL, SIGNAL, ANOMALY))
        ]
        self._subscribe_to_signals()
        self._subscribe_to_findings()
        for ledger, wanted in ((SIGNALS, pb.SignalFilter()), (EVENTS, anomalies_pb2.AnomalyFilter())):
            self._poll(ledger, wanted)
        arena.child = Child("child", arena.targets, arena.folder)
        clock = arena.folder / "child.clock"
        clock.write_text(CHILD_CLOCK)
        await arena.child.start(faketime(clock) if FAKETIME.exists() and self._rng.random() < 0.5 else {})
        self._publish()
        self._report()

    def _subscribe_to_signals(self) -> None:
        for start in ("current", "published_after", "latest"):
            habits = Habits(start, self._filter(), self._rng.choice((0, 1, 7, 1000)), events=500)
            self._subscriber(f"raw-{start}", habits)
        rare = Habits("current", pb.SignalFilter(min_confidence=0.97), events=2000, forgetful=True)
        self._subscriber("forgetful", rare)
        self._subscriber("raw-earliest", Habits("earliest", events=100))
        self._sdk_subscriber("sdk-earliest", "earliest", pb.SignalFilter())
        self._sdk_subscriber("sdk-current", "current", self._filter())
        self._sdk_subscriber("sdk-since", datetime.now(UTC), self._filter())

    def _subscribe_to_findings(self) -> None:
        for start in ("current", "earliest", "latest"):
            wanted = an_anomaly_filter(self._arena.model_ids, self._rng)
            self._subscriber(f"anomalies-{start}", Habits(start, wanted, self._rng.choice((0, 1, 7)), events=200))
        severe = Habits("current", anomalies_pb2.AnomalyFilter(min_severity=8), events=500, forgetful=True)
        self._subscriber("forgetful-of-anomalies", severe)
        self._subscriber("anomalies", Habits("earliest", anomalies_pb2.AnomalyFilter(), events=100))
        self._subscriber("generations", Habits("earliest", optimization_pb2.GenerationFilter(), events=50))
        own = optimization_pb2.GenerationFilter(run_ids=[self._arena.runs[0].run_id])
        self._subscriber("generations-of-a-run", Habits("latest", own, events=20))
        wanted = an_anomaly_filter(self._arena.model_ids, self._rng)
        self._sdk_subscriber("sdk-anomalies-current", "current", wanted)
        self._sdk_subscriber("sdk-anomalies-earliest", "earliest", anomalies_pb2.AnomalyFilter())
        self._sdk_subscriber("sdk-generations", "earliest", optimization_pb2.GenerationFilter())

    def _publish(self) -> None:
        arena, rng = self._arena, self._rng
        recording = arena.recordings[SIGNAL]
        for number in range(2):
            self._write(f"unary-{number}", SIGNAL, UNARY_PAUSE)
        lane = StreamPublisher("lane", recording, arena.targets, arena.model_ids, Random(rng.random()))
        self._until_stopped(lane.run(self._stop, LANE_PAUSE))
        targets = rng.sample(arena.targets, len(arena.targets))
        self._until_stopped(
            publish_by_sdk("sdk", recording, targets, arena.model_ids, Random(rng.random()), self._stop, SDK_PAUSE)
        )
        self._race("bot", SIGNAL, a_state, BOT_PAUSE)

    def _report(self) -> None:
        arena = self._arena
        self._write("reporter", ANOMALY, REPORTER_PAUSE)
        self._write("recorder", GENERATION, RECORDER_PAUSE)
        for number in range(2):
            rng = Random(self._rng.random())
            writer = SqlWriter(f"sql-{number}", arena.recordings[ANOMALY], arena.urls, arena.model_ids, rng)
            self._until_stopped(writer.run(self._stop, SQL_PAUSE))
        self._race("resolver", ANOMALY, a_resolution, RESOLVER_PAUSE)

    def _write(self, name: str, noun: Noun, pause: float) -> None:
        arena, rng = self._arena, Random(self._rng.random())
        writer = UnaryPublisher(name, arena.recordings[noun], arena.targets, arena.make(noun), rng, MOST[noun])
        self._until_stopped(writer.run(self._stop, pause))

    def _race(self, name: str, noun: Noun, ending: Callable[[Random], str], pause: float) -> None:
        arena, rng = self._arena, Random(self._rng.random())
        self._until_stopped(race(name, arena.recordings[noun], arena.targets, ending, rng, self._stop, pause))

    def _until_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        self._publishing.append(self._group.create_task(work))

    async def stop_publishing(self) -> float:
        """Returns how many seconds it took until every publisher knew what became of its signals."""
        started = time.monotonic()
        self._stop.set()
        _, unserved = await asyncio.wait(self._publishing, timeout=STOP_SECONDS)
        for task in unserved:
            task.cancel()
        return time.monotonic() - started

    async def stop_subscribing(self) -> list[Stream]:
        """Ends the subscribers; returns what the one in another process saw."""
        for task in self._subscribing:
            task.cancel()
        await asyncio.wait(self._subscribing)
        assert self._arena.child is not None
        return await self._arena.child.end()

    def _filter(self) -> pb.SignalFilter:
        return a_filter(self._arena.model_ids, self._rng)

    def _subscriber(self, name: str, habits: Habits, targets: list[str] | None = None) -> Subscriber:
        rng = Random(self._rng.random())
        recording = self._arena.recordings[noun_of(habits.wanted)]
        subscriber = Subscriber(name, recording, targets or self._arena.targets, habits, rng)
        self._follow(subscriber)
        return subscriber

    def _sdk_subscriber(self, name: str, start: Start, wanted: Message) -> None:
        recording = self._arena.recordings[noun_of(wanted)]
        self._follow(SdkSubscriber(name, recording, self._arena.targets, start, wanted))

    def _poll(self, ledger: Ledger, wanted: Message) -> None:
        recording = self._arena.recordings[noun_of(wanted)]
        self._follow(SqlReader(f"sql-{ledger.name}", recording, ledger, wanted, self._arena.cluster.url()))

    def _follow(self, subscriber: Follower) -> None:
        if not subscriber.name.startswith("forgetful"):
            self.subscribers.append(subscriber)
        self._subscribing.append(self._group.create_task(subscriber.run()))
