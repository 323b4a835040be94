"""All clients of a run: who publishes, who ends signals, and who subscribes from where."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from random import Random
from typing import Final

from ai_grpc.client.options import Start
from ai_grpc.v1 import signals_pb2 as pb
from tests.chaos.arena import Arena
from tests.chaos.bots import race
from tests.chaos.children import Child
from tests.chaos.fleet import FAKETIME, faketime
from tests.chaos.history import Stream
from tests.chaos.lanes import StreamPublisher
from tests.chaos.publishers import UnaryPublisher, publish_by_sdk
from tests.chaos.sdk_subscribers import SdkSubscriber
from tests.chaos.signals import a_filter
from tests.chaos.subscribers import Habits, Subscriber

UNARY_PAUSE: Final = 0.16
LANE_PAUSE: Final = 0.12
SDK_PAUSE: Final = 0.06
BOT_PAUSE: Final = 0.15
STOP_SECONDS: Final = 45
CHILD_CLOCK: Final = "-3600"


class Clients:
    """They need no help, whatever happens to the servers; who runs them sees what breaks in themselves."""

    def __init__(self, arena: Arena, group: asyncio.TaskGroup, seed: int) -> None:
        self._arena, self._group, self._rng = arena, group, Random(seed)
        self._stop = asyncio.Event()
        self._publishing: list[asyncio.Task[None]] = []
        self._subscribing: list[asyncio.Task[None]] = []
        self.subscribers: list[Subscriber | SdkSubscriber] = []

    async def start(self) -> None:
        """Everybody begins."""
        arena = self._arena
        arena.witnesses = [
            self._subscriber(f"witness-{replica.name}", Habits("latest"), [replica.target])
            for replica in arena.replicas
        ]
        arena.victims = [
            self._subscriber(f"victim-{number}", Habits("earliest", batch=20, narrow=True)) for number in range(2)
        ]
        for start in ("current", "published_after", "latest"):
            habits = Habits(start, self._filter(), self._rng.choice((0, 1, 7, 1000)), events=500)
            self._subscriber(f"raw-{start}", habits)
        rare = Habits("current", pb.SignalFilter(min_confidence=0.97), events=2000, forgetful=True)
        self._subscriber("forgetful", rare)
        self._subscriber("raw-earliest", Habits("earliest", events=100))
        self._sdk_subscriber("sdk-earliest", "earliest", pb.SignalFilter())
        self._sdk_subscriber("sdk-current", "current", self._filter())
        self._sdk_subscriber("sdk-since", datetime.now(UTC), self._filter())
        arena.child = Child("child", arena.targets, arena.folder)
        clock = arena.folder / "child.clock"
        clock.write_text(CHILD_CLOCK)
        await arena.child.start(faketime(clock) if FAKETIME.exists() and self._rng.random() < 0.5 else {})
        self._publish()

    def _publish(self) -> None:
        arena, rng = self._arena, self._rng
        for number in range(2):
            unary = UnaryPublisher(
                f"unary-{number}", arena.recording, arena.targets, arena.model_ids, Random(rng.random())
            )
            self._publishing.append(self._group.create_task(unary.run(self._stop, UNARY_PAUSE)))
        lane = StreamPublisher("lane", arena.recording, arena.targets, arena.model_ids, Random(rng.random()))
        self._publishing.append(self._group.create_task(lane.run(self._stop, LANE_PAUSE)))
        targets = rng.sample(arena.targets, len(arena.targets))
        sdk = publish_by_sdk(
            "sdk", arena.recording, targets, arena.model_ids, Random(rng.random()), self._stop, SDK_PAUSE
        )
        self._publishing.append(self._group.create_task(sdk))
        bots = race("bot", arena.recording, arena.targets, Random(rng.random()), self._stop, BOT_PAUSE)
        self._publishing.append(self._group.create_task(bots))

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
        subscriber = Subscriber(name, self._arena.recording, targets or self._arena.targets, habits, rng)
        self._follow(subscriber)
        return subscriber

    def _sdk_subscriber(self, name: str, start: Start, wanted: pb.SignalFilter) -> None:
        self._follow(SdkSubscriber(name, self._arena.recording, self._arena.targets, start, wanted))

    def _follow(self, subscriber: Subscriber | SdkSubscriber) -> None:
        if subscriber.name != "forgetful":
            self.subscribers.append(subscriber)
        self._subscribing.append(self._group.create_task(subscriber.run()))
