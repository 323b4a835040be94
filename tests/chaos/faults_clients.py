"""Clients that stop reading, repeat themselves, jump from replica to replica, and send what they should not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final

from grpc import aio

from ai_grpc.client.channel import connect
from ai_grpc.v1 import streams_pb2
from tests.chaos.arena import Arena
from tests.chaos.faults import Part, fault
from tests.chaos.fleet import Replica
from tests.chaos.history import Outcome
from tests.chaos.nouns import ANOMALY, NOUNS, SIGNAL, Noun
from tests.chaos.poison import POISON, send_raw
from tests.chaos.publishers import publish_once
from tests.chaos.signals import some_signals
from tests.chaos.subscribers import Habits, Subscriber

CONNECTIONS: Final = 40


@fault("F9", Part.CLIENTS)
async def bad_readers(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """Subscribers stop reading, are frozen, read a message a second, or connect and cancel in a loop."""
    way = rng.choice(("stops reading", "reads slowly", "is frozen", "connects and cancels"))
    arena.variants[f"F9 {way}"] += 1
    victim = rng.choice(arena.victims)
    try:
        if way == "stops reading":
            victim.reads.clear()
        elif way == "reads slowly":
            victim.habits.pause = 1.0
        elif way == "is frozen" and arena.child is not None:
            arena.child.freeze()
        else:
            await connect_and_cancel(rng.choice(arena.targets), CONNECTIONS)
        yield
    finally:
        victim.reads.set()
        victim.habits.pause = 0.0
        if arena.child is not None:
            arena.child.thaw()


async def connect_and_cancel(target: str, count: int) -> None:
    """Subscribes and leaves at once, on a connection of its own now and then."""
    for number in range(count):
        async with connect(target) as channel:
            for noun in NOUNS[: 1 + number % 3]:
                call = noun.subscribe(channel)(noun.request(earliest=streams_pb2.Earliest()))
                reading = asyncio.ensure_future(call.read())
                await asyncio.wait([reading], timeout=0.01 * (number % 4))
                call.cancel()
                await asyncio.gather(reading, return_exceptions=True)


@fault("F12", Part.CLIENTS)
async def duplicates(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """The same id goes to all replicas at once, again later, with another body, and twice in one request."""
    noun = rng.choice((SIGNAL, ANOMALY))
    arena.variants[f"F12 {noun.plural}"] += 1
    make = arena.make(noun)
    async with _everywhere(arena, noun) as publish:
        for number in range(rng.randint(3, 8)):
            items = make(rng, rng.randint(1, 5))
            await publish(f"twin-{number}", items)
            await publish(f"late-twin-{number}", items)
            await publish(f"impostor-{number}", [_altered(item) for item in items])
            await publish(f"double-{number}", [*make(rng, 1)] * 2, "INVALID_FIELD")
            rivals = make(rng, 1)
            await asyncio.gather(
                publish(f"rival-{number}", rivals), publish(f"other-rival-{number}", [_altered(rivals[0])])
            )
        yield


@asynccontextmanager
async def _everywhere(arena: Arena, noun: Noun) -> AsyncIterator[Callable[..., asyncio.Future[list[Outcome]]]]:
    """Publishing by one call on every replica at once."""
    channels = [connect(target) for target in arena.targets]

    def publish(name: str, items: Sequence[Any], refusal: str = "") -> asyncio.Future[list[Outcome]]:
        def on(replica: Replica, channel: aio.Channel) -> Coroutine[Any, Any, Outcome]:
            recording = arena.recordings[noun]
            return publish_once(f"{name}-{replica.name}", recording, replica.name, channel, items, refusal)

        return asyncio.gather(*map(on, arena.replicas, channels))

    try:
        yield publish
    finally:
        for channel in channels:
            await channel.close()


def _altered(item: Any) -> Any:
    other = type(item)()
    other.CopyFrom(item)
    other.symbol = "OTHER"
    return other


@fault("F18", Part.CLIENTS)
async def hopping(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """Subscribers go on with another replica after every few events, some of them behind in their knowledge."""
    number = arena.injected["F18"]
    hoppers = [
        Subscriber(
            f"hopper-{number}-{noun.field}",
            arena.recordings[noun],
            arena.targets,
            Habits("latest", noun.wanted(), events=4),
            rng,
        )
        for noun in (SIGNAL, ANOMALY)
    ]
    tasks = [asyncio.create_task(hopper.run()) for hopper in hoppers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()


@fault("F19", Part.CLIENTS)
async def poison(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """Requests that must be refused, and of which nothing may be written: too large, malformed, out of range."""
    target = rng.choice(arena.targets)
    async with connect(target) as channel:
        for name, kind in POISON.items():
            arena.variants[f"F19 {name}"] += 1
            signals = some_signals(arena.model_ids, rng, 3)
            made = kind.make(signals, rng)
            if isinstance(made, bytes):
                await send_raw(channel, made)
            else:
                await publish_once(f"poisoner-{name}", arena.recordings[SIGNAL], target, channel, made, kind.refusal)
        yield
