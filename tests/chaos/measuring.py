"""Figures that are taken under load when no fault but the one in question is there."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from statistics import quantiles
from typing import Final

import psutil

from tests.chaos.arena import Arena
from tests.chaos.faults_clients import connect_and_cancel
from tests.chaos.faults_locks import open_foreign_transactions
from tests.chaos.history import Measurement

MIB: Final = 1024 * 1024

# Bounds for a machine with other work to do, where a healthy delivery takes some milliseconds and at times dozens.
STALLED_FACTOR, STALLED_ALLOWANCE = 3.0, 0.3
FOREIGN_FACTOR, FOREIGN_ALLOWANCE = 3.0, 0.3
RSS_MIB: Final = 300.0
RSS_GROWTH_MIB: Final = 30.0
FD_GROWTH: Final = 30
CONNECTIONS_EACH: Final = 8 + 4 + 4
CANCELLED_EACH: Final = 60
ENOUGH: Final = 50
LONGEST_WINDOW: Final = 30.0
SETTLE_SECONDS: Final = 1.5
CONNECTIONS: Final = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'ai\\_grpc %'"


async def measure(arena: Arena, seconds: float) -> None:
    """Takes all figures, in windows that share the time."""
    window = seconds / 3
    usual = await _p99(arena, window)
    async with AsyncExitStack() as stack:
        await open_foreign_transactions(arena, stack)
        foreign = await _p99(arena, window)
    _note(
        arena, "I17", "delivery p99 beside foreign transactions, s", foreign, FOREIGN_FACTOR * usual + FOREIGN_ALLOWANCE
    )
    stalled = await _with_stalled(arena, window)
    _note(
        arena, "I14", "delivery p99 beside stalled subscribers, s", stalled, STALLED_FACTOR * usual + STALLED_ALLOWANCE
    )
    _note(arena, "I14", "largest RSS of a server, MiB", max(_rss(arena)), RSS_MIB)
    await _leaks(arena)


async def _with_stalled(arena: Arena, window: float) -> float:
    assert arena.child is not None
    try:
        arena.child.freeze()
        for victim in arena.victims:
            victim.reads.clear()
        return await _p99(arena, window)
    finally:
        arena.child.thaw()
        for victim in arena.victims:
            victim.reads.set()


async def _leaks(arena: Arena) -> None:
    files, memory = _files(arena), _rss(arena)
    for replica in arena.replicas:
        await connect_and_cancel(replica.target, CANCELLED_EACH)
    await asyncio.sleep(SETTLE_SECONDS)
    growth = max(after - before for after, before in zip(_files(arena), files, strict=True))
    _note(arena, "I15", f"open files more after {CANCELLED_EACH} cancelled connections", growth, FD_GROWTH)
    larger = max(after - before for after, before in zip(_rss(arena), memory, strict=True))
    _note(arena, "I15", f"MiB more after {CANCELLED_EACH} cancelled connections", larger, RSS_GROWTH_MIB)
    bound = CONNECTIONS_EACH * len(arena.replicas)
    _note(arena, "I15", "connections to PostgreSQL", await arena.ask(CONNECTIONS), bound)


async def _p99(arena: Arena, seconds: float) -> float:
    deliveries = await _deliveries(arena, seconds)
    return quantiles(deliveries, n=100)[98] if len(deliveries) > 1 else deliveries[0]


async def _deliveries(arena: Arena, seconds: float) -> list[float]:
    """How long each delivery took to who is healthy, of the signals first sent in a window that begins now."""
    start, deliveries = time.monotonic(), list[float]()
    while len(deliveries) < ENOUGH and time.monotonic() < start + LONGEST_WINDOW:
        await asyncio.sleep(seconds)
        deliveries = [
            latency
            for moment, subscriber, latency in arena.recording.delivered
            if moment - latency > start and subscriber.startswith("witness")
        ]
    return deliveries or [LONGEST_WINDOW]


def _rss(arena: Arena) -> list[float]:
    return [psutil.Process(replica.pid).memory_info().rss / MIB for replica in arena.replicas]


def _files(arena: Arena) -> list[int]:
    return [psutil.Process(replica.pid).num_fds() for replica in arena.replicas]


def _note(arena: Arena, invariant: str, what: str, value: float, bound: float) -> None:
    arena.recording.history.measurements.append(Measurement(invariant, what, round(value, 4), round(bound, 4)))
