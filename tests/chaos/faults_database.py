"""A database that crashes, loses connections, freezes, or has no room."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from random import Random
from signal import SIGCONT, SIGSTOP
from typing import Final, Literal

import asyncpg
import grpc

from ai_grpc.client.channel import connect
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.chaos.arena import Arena
from tests.chaos.faults import Part, fault
from tests.chaos.ledgers import LEDGERS, Ledger
from tests.faults.database import until

PURPOSES: Final = ("append", "tail", "notify", "topics", "topics notify", "sweep", "calls", "replay")
TERMINATE: Final = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()
"""
ROUTINE_PIDS: Final = "SELECT pid FROM pg_stat_activity WHERE backend_type IN ('checkpointer', 'walwriter')"
STRIKES: Final = 5
LOCK_SECONDS: Final = 5
AT_A_TIME: Final = 8
CROWD: Final = 60


@fault("F4", Part.DATABASE)
async def disconnected(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """The connections of the servers for one purpose are terminated, again and again."""
    purpose = rng.choice(PURPOSES)
    arena.variants[f"F4 {purpose}"] += 1
    async with arena.admin() as admin:
        for _ in range(rng.randint(1, STRIKES)):
            await admin.fetchval(TERMINATE, f"ai_grpc {purpose}")
            await asyncio.sleep(rng.uniform(0, 0.3))
        yield


@fault("F5", Part.DATABASE)
async def crashed(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """PostgreSQL crashes, or stops in good order, and starts again."""
    modes: tuple[Literal["immediate", "fast"], ...] = ("immediate", "immediate", "fast")
    mode = rng.choice(modes)
    arena.variants[f"F5 {mode}"] += 1
    try:
        await asyncio.to_thread(arena.cluster.stop, mode)
        yield
    finally:
        await asyncio.to_thread(arena.cluster.start)


@fault("F6", Part.DATABASE)
async def stopped_backend(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """A backend freezes with the lock of a log in its hands; or the checkpointer and the walwriter do."""
    pids: list[int] = []
    ledger = rng.choice(LEDGERS)
    async with arena.admin() as admin:
        try:
            if rng.random() < 0.7:
                pids = await _freeze_an_append(admin, ledger)
            if pids:
                arena.variants[f"F6 {ledger.name}"] += 1
            else:
                arena.variants["F6 checkpointer and walwriter"] += 1
                pids = [row[0] for row in await admin.fetch(ROUTINE_PIDS)]
                _signal(pids, SIGSTOP)
            yield
        finally:
            _signal(pids, SIGCONT)


async def _freeze_an_append(admin: asyncpg.Connection, ledger: Ledger) -> list[int]:
    """Freezes whoever waits for the lock, then hands it over; nobody waits if another fault keeps all away."""
    await admin.execute(ledger.lock)
    try:
        with suppress(TimeoutError):
            await until(admin, f"SELECT EXISTS ({ledger.waiting})", True, LOCK_SECONDS)
        pids = [row[0] for row in await admin.fetch(ledger.waiting)][:1]
        _signal(pids, SIGSTOP)
        return pids
    finally:
        await admin.execute(ledger.unlock)


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@fault("F16", Part.DATABASE)
async def crowded(arena: Arena, rng: Random) -> AsyncIterator[None]:
    """PostgreSQL has no connection left, or the servers' pools have none."""
    async with AsyncExitStack() as stack:
        if rng.random() < 0.5:
            arena.variants["F16 connections"] += 1
            await _fill(arena, stack)
        else:
            arena.variants["F16 pools"] += 1
            await _crowd(arena, stack)
        yield


async def _fill(arena: Arena, stack: AsyncExitStack) -> None:
    """Takes all connections, then lets the servers look for new ones."""
    full = asyncio.Event()

    async def take() -> None:
        while not full.is_set():
            try:
                connection = await asyncpg.connect(arena.cluster.url(), timeout=10)
            except asyncpg.TooManyConnectionsError:
                full.set()
            else:
                stack.push_async_callback(connection.close, timeout=10)

    admin = await stack.enter_async_context(arena.admin())
    await asyncio.gather(*(take() for _ in range(AT_A_TIME)))
    for purpose in PURPOSES:
        await admin.fetchval(TERMINATE, f"ai_grpc {purpose}")


async def _crowd(arena: Arena, stack: AsyncExitStack) -> None:
    """Many calls wait for a table at once."""
    admin = await stack.enter_async_context(arena.admin())
    transaction = admin.transaction()
    await transaction.start()
    stack.push_async_callback(transaction.rollback)
    await admin.execute("LOCK TABLE ai_trading.ai_models IN ACCESS EXCLUSIVE MODE")
    channels = [await stack.enter_async_context(connect(target)) for target in arena.targets]

    async def ask(channel: grpc.aio.Channel) -> None:
        with suppress(grpc.aio.AioRpcError, grpc.aio.InternalError):
            await SignalServiceStub(channel).ListSignals(pb.ListSignalsRequest(page_size=10), timeout=3)

    crowd = asyncio.gather(*(ask(channel) for channel in channels for _ in range(CROWD)))
    stack.push_async_callback(asyncio.wait_for, crowd, 10)
