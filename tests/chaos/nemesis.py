"""The order of the faults: shifting random mixes with quiet periods, all from one seed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.chaos import (
    faults_clients,
    faults_database,
    faults_locks,
    faults_network,
    faults_processes,
    faults_retention,
)
from tests.chaos.arena import Arena
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.fleet import FAKETIME

TABLES: Final = (
    faults_clients,
    faults_database,
    faults_locks,
    faults_network,
    faults_processes,
    faults_retention,
)
QUIET: Final = 0.25
QUIET_SECONDS: Final = (0.5, 2.0)
HOLD_SECONDS: Final = (0.3, 3.0)
LONG_HOLD: Final = 0.1
LONGEST_HOLD: Final = 30.0
MIX_SIZES: Final = (1, 1, 2, 2, 3)
INJECT_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Mix:
    """Faults that begin together, each with a seed of its own, and for how long they are held; none is a pause."""

    faults: tuple[tuple[Fault, float], ...]
    seconds: float


def names() -> list[str]:
    """All faults that this machine can inject, in their order."""
    able = {name for name in FAULTS if name != "F13" or FAKETIME.exists()}
    return sorted(able, key=lambda name: int(name[1:]))


def mixes(seed: int, seconds: float, chosen: Collection[str]) -> Iterator[Mix]:
    """For ever. Every fault comes up before any comes up again; of one part of the world, one at a time."""
    rng = Random(seed)
    longest = min(LONGEST_HOLD, max(HOLD_SECONDS[1], seconds / 10))
    deck: list[Fault] = []
    while True:
        if rng.random() < QUIET:
            yield Mix((), rng.uniform(*QUIET_SECONDS))
            continue
        if not deck:
            deck = [FAULTS[name] for name in sorted(chosen)]
            rng.shuffle(deck)
        mix: list[Fault] = []
        for each in deck[: rng.choice(MIX_SIZES)]:
            if each.part not in {fault.part for fault in mix}:
                mix.append(each)
        deck = [each for each in deck if each not in mix]
        hold = rng.uniform(0.5, longest) if rng.random() < LONG_HOLD else rng.uniform(*HOLD_SECONDS)
        yield Mix(tuple((each, rng.random()) for each in mix), hold)


async def trouble(arena: Arena, seed: int, seconds: float, chosen: Collection[str]) -> None:
    """Injects one mix after the other until the time is up; the last one is healed then."""
    deadline = time.monotonic() + seconds
    for mix in mixes(seed, seconds, chosen):
        left = deadline - time.monotonic()
        if left <= 0:
            return
        async with asyncio.TaskGroup() as group:
            release = asyncio.Event()
            for each, own_seed in mix.faults:
                group.create_task(_hold(arena, each, Random(own_seed), release))
            await asyncio.sleep(min(mix.seconds, left))
            release.set()


async def _hold(arena: Arena, each: Fault, rng: Random, release: asyncio.Event) -> None:
    arena.planned[each.name] += 1
    arena.active.add(each.name)
    try:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(INJECT_SECONDS):
                await stack.enter_async_context(each.inject(arena, rng))
            arena.injected[each.name] += 1
            await release.wait()
    except Exception as error:  # whatever it is, the run goes on, and says so in the end
        arena.troubles.append(f"{each.name}: {type(error).__name__}: {error}")
    finally:
        arena.active.discard(each.name)
