"""Publishers that do what makes bugs of the append lane show: the same at once, the same again, the same but other."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from random import Random
from types import TracebackType
from typing import Any, Final, Self

import grpc

from tests.chaos.drill_loads import Load
from tests.chaos.publishers import publish_once
from tests.chaos.recording import Recording

PUBLISHERS: Final = 6
PAUSE: Final = 0.005
LARGEST: Final = 12
LEAST: Final = 80
PATIENCE: Final = 5.0


class Publishers:
    """Some publishers, each with one request under way at a time, on any of the targets."""

    def __init__(self, load: Load, recording: Recording, targets: Sequence[str], rng: Random) -> None:
        self._load, self._recording, self._targets, self._rng = load, recording, targets, rng
        self._stack = AsyncExitStack()
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._before: deque[Sequence[Any]] = deque(maxlen=20)

    async def __aenter__(self) -> Self:
        for target in self._targets:
            self._channels[target] = await self._stack.enter_async_context(grpc.aio.insecure_channel(target))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def publish(self, model_id: str, seconds: float) -> None:
        """All of them publish for so long, or longer, until there is enough."""
        end, least = time.monotonic() + seconds, len(self._recording.history.publishes) + LEAST
        async with asyncio.TaskGroup() as group:
            for number in range(PUBLISHERS):
                group.create_task(self._publish(f"publisher-{number}", model_id, end, least))

    async def publish_one(self, model_id: str) -> None:
        """One of them, on the first target."""
        await self._send("last", self._targets[0], self._load.make([model_id], self._rng, 1))

    async def _publish(self, name: str, model_id: str, end: float, least: int) -> None:
        while (now := time.monotonic()) < end or (
            now < end + PATIENCE and len(self._recording.history.publishes) < least
        ):
            items = self._load.make([model_id], self._rng, self._rng.randint(1, LARGEST))
            way = self._rng.random()
            if way < 0.3:
                await asyncio.gather(*(self._send(f"{name}, {target}", target, items) for target in self._targets))
            elif way < 0.4 and self._before:
                await self._send(name, self._rng.choice(self._targets), self._rng.choice(self._before))
            elif way < 0.5 and self._before:
                rival = _other(self._rng.choice(self._before)[0])
                await self._send(name, self._rng.choice(self._targets), [*items, rival])
            else:
                await self._send(name, self._rng.choice(self._targets), items)
                self._before.append(items)
            await asyncio.sleep(self._rng.expovariate(1 / PAUSE))

    async def _send(self, name: str, target: str, items: Sequence[Any]) -> None:
        await publish_once(name, self._recording, target, self._channels[target], items)


def _other(item: Any) -> Any:
    """Other content under the same id."""
    other = type(item)()
    other.CopyFrom(item)
    other.symbol = "OTHER"
    return other
