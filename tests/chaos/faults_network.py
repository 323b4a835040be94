"""Networks that lose, hold back, delay and cut, between servers and database and between clients and servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Final

from tests.chaos.arena import Arena
from tests.chaos.faults import Part, fault
from tests.chaos.proxy import Proxy
from tests.chaos.wire import Mode

DATABASE_MODES: Final = (
    Mode.RESET,
    Mode.BLACKHOLE,
    Mode.HOLE_TO_SERVER,
    Mode.HOLE_TO_CLIENT,
    Mode.DELAY,
    Mode.TRICKLE,
    Mode.CUT,
    Mode.CUT,
)
CLIENT_MODES: Final = (
    Mode.RESET,
    Mode.BLACKHOLE,
    Mode.HALF_OPEN_CLIENT,
    Mode.HALF_OPEN_SERVER,
    Mode.CAP,
    Mode.CUT,
    Mode.DELAY,
)
TAIL_MODES: Final = (Mode.BLACKHOLE, Mode.MUTE, Mode.MUTE)


@fault("F7", Part.DATABASE_LINES)
async def database_lines(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """The network between a server, or all of them, and PostgreSQL misbehaves."""
    some = rng.sample(arena.replicas, rng.choice((1, 1, 2, 3)))
    mode = rng.choice(DATABASE_MODES)
    arena.variants[f"F7 {mode}"] += 1
    proxies = [proxy for replica in some for proxy in (replica.database, replica.tail)]
    with misbehaving(proxies, mode, rng):
        yield


@fault("F17", Part.DATABASE_LINES)
async def deaf_tails(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """Notifications do not arrive, or nothing does on the connection that listens for them."""
    some = rng.sample(arena.replicas, rng.choice((1, 2, 3)))
    mode = rng.choice(TAIL_MODES)
    arena.variants[f"F17 {mode}"] += 1
    with misbehaving([replica.tail for replica in some], mode, rng):
        yield


@fault("F8", Part.CLIENT_LINES)
async def client_lines(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """The network between a server, or two, and its clients misbehaves."""
    some = rng.sample(arena.replicas, rng.choice((1, 1, 2)))
    mode = rng.choice(CLIENT_MODES)
    arena.variants[f"F8 {mode}"] += 1
    with misbehaving([replica.clients for replica in some], mode, rng):
        yield


@contextmanager
def misbehaving(proxies: Sequence[Proxy], mode: Mode, rng: Random) -> Iterator[None]:
    """All of them, until it is left; the connections of every other time do not outlive that."""
    try:
        for proxy in proxies:
            proxy.misbehave(mode, rng.randrange(20_000))
        yield
    finally:
        reset = rng.random() < 0.5
        for proxy in proxies:
            proxy.heal(reset=reset)
