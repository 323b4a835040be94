"""Figures that are taken under load when no fault but the one in question is there."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from statistics import quantiles
from typing import Final

import psutil

from tests.chaos.arena import Arena
from tests.chaos.faults_clients import connect_and_cancel
from tests.chaos.faults_locks import open_foreign_transactions
from tests.chaos.history import Measurement
from tests.chaos.nouns import ANOMALY, SIGNAL, Noun

MIB: Final = 1024 * 1024

# Bounds for a machine with other work to do, where a healthy delivery takes some milliseconds and at times dozens.
STALLED_FACTOR, STALLED_ALLOWANCE = 3.0, 0.3
FOREIGN_FACTOR, FOREIGN_ALLOWANCE = 3.0, 0.3
RSS_MIB: Final = 300.0
RSS_GROWTH_MIB: Final = 30.0
FD_GROWTH: Final = 30
# Three pools; and lines to append, follow, notify, sweep and keep up.
CONNECTIONS_EACH: Final = 8 + 4 + 4 + 7
CANCELLED_EACH: Final = 60
ENOUGH: Final = 50
TRIES: Final = 3
LONGEST_WINDOW: Final = 30.0
MEASURED: Final = (SIGNAL, ANOMALY)
SETTLE_SECONDS: Final = 1.5
CLOSING_SECONDS: Final = 10.0
CONNECTIONS: Final = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'ai\\_grpc %'"


async def measure(arena: Arena, seconds: float) -> None:
    """Takes all figures, in windows that share the time."""
    window = seconds / 3
    usual = await _p99s(arena, window)
    most_foreign = {noun: FOREIGN_FACTOR * p99 + FOREIGN_ALLOWANCE for noun, p99 in usual.items()}
    async with AsyncExitStack() as stack:
        await open_foreign_transactions(arena, stack)
        foreign = await _p99s(arena, window, most_foreign)
    most_stalled = {noun: STALLED_FACTOR * p99 + STALLED_ALLOWANCE for noun, p99 in usual.items()}
    stalled = await _with_stalled(arena, window, most_stalled)
    for noun in MEASURED:
        what = f"{noun.plural}: delivery p99 beside"
        _note(arena, "I17", f"{what} foreign transactions, s", foreign[noun], most_foreign[noun])
        _note(arena, "I14", f"{what} stalled subscribers, s", stalled[noun], most_stalled[noun])
    _note(arena, "I14", "largest RSS of a server, MiB", max(_rss(arena)), RSS_MIB)
    await _leaks(arena)


async def _with_stalled(arena: Arena, window: float, most: Mapping[Noun, float]) -> dict[Noun, float]:
    assert arena.child is not None
    try:
        arena.child.freeze()
        for victim in arena.victims:
            victim.reads.clear()
        return await _p99s(arena, window, most)
    finally:
        arena.child.thaw()
        for victim in arena.victims:
            victim.reads.set()


async def _leaks(arena: Arena) -> None:
    files, memory = _files(arena), _rss(arena)
    for replica in arena.replicas:
        await connect_and_cancel(replica.target, CANCELLED_EACH)
    growth, end = math.inf, time.monotonic() + CLOSING_SECONDS
    while growth > FD_GROWTH and time.monotonic() < end:
        await asyncio.sleep(SETTLE_SECONDS)
        growth = max(after - before for after, before in zip(_files(arena), files, strict=True))
    _note(arena, "I15", f"open files more after {CANCELLED_EACH} cancelled connections", growth, FD_GROWTH)
    larger = max(after - before for after, before in zip(_rss(arena), memory, strict=True))
    _note(arena, "I15", f"MiB more after {CANCELLED_EACH} cancelled connections", larger, RSS_GROWTH_MIB)
    bound = CONNECTIONS_EACH * len(arena.replicas)
    _note(arena, "I15", "connections to PostgreSQL", await arena.ask(CONNECTIONS), bound)


async def _p99s(arena: Arena, seconds: float, most: Mapping[Noun, float] | None = None) -> dict[Noun, float]:
    """The least of some windows, of which there are more than one only if there is a `most` and it is exceeded: the
    machine may pause in one window, what is in the way of the deliveries is so in each."""
    least = dict.fromkeys(MEASURED, math.inf)
    for _ in range(TRIES):
        deliveries = await asyncio.gather(*(_deliveries(arena, noun, seconds) for noun in MEASURED))
        for noun, latencies in zip(MEASURED, deliveries, strict=True):
            least[noun] = min(least[noun], _p99(latencies))
        if most is None or all(least[noun] <= most[noun] for noun in MEASURED):
            break
    return least


def _p99(latencies: Sequence[float]) -> float:
    return quantiles(latencies, n=100)[98] if len(latencies) > 1 else latencies[0]


async def _deliveries(arena: Arena, noun: Noun, seconds: float) -> list[float]:
    """How long each delivery took to who is healthy, of the signals first sent in a window that begins now."""
    start, deliveries = time.monotonic(), list[float]()
    while len(deliveries) < ENOUGH and time.monotonic() < start + LONGEST_WINDOW:
        await asyncio.sleep(seconds)
        deliveries = [
            latency
            for moment, subscriber, latency in arena.recordings[noun].delivered
            if moment - latency > start and subscriber.startswith("witness")
        ]
    return deliveries or [LONGEST_WINDOW]


def _rss(arena: Arena) -> list[float]:
    return [psutil.Process(replica.pid).memory_info().rss / MIB for replica in arena.replicas]


def _files(arena: Arena) -> list[int]:
    return [psutil.Process(replica.pid).num_fds() for replica in arena.replicas]


def _note(arena: Arena, invariant: str, what: str, value: float, bound: float) -> None:
    arena.history.measurements.append(Measurement(invariant, what, round(value, 4), round(bound, 4)))
