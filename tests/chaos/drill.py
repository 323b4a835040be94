"""A short run with much at once, to bring a seeded bug to light: two replicas, a crowd, and the faults it needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import grpc

from tests.chaos.bugs import apply
from tests.chaos.drill_crowd import GRACE, Crowd
from tests.chaos.drill_loads import LOADS
from tests.chaos.fleet import LAUNCHER
from tests.chaos.history import History
from tests.chaos.ledgers import SIGNALS, Ledger
from tests.chaos.oracle import read_log
from tests.server import ServerProcess
from tests.signals import an_active_model

# A ring that wraps many times in a second.
SETTINGS: Final = {
    "AI_GRPC_LOG_LEVEL": "ERROR",
    "AI_GRPC_RING_EVENTS": "100",
    "AI_GRPC_POLL_INTERVAL": "0.1",
    "AI_GRPC_SWEEP_INTERVAL": "60",
    "AI_GRPC_DRAIN_GRACE": str(GRACE),
}


def a_replica(dsn: str, log: Path, settings: Mapping[str, str]) -> ServerProcess:
    """A server that may have a seeded bug, or a failpoint."""
    return ServerProcess(dsn, log, settings, LAUNCHER)


async def drill(
    database: str, folder: Path, bug: str = "", faults: Collection[str] = (), ledger: Ledger = SIGNALS
) -> History:
    """The history of one log in a run with a bug and with faults."""
    if bug:
        await apply(database, bug)
    async with two_replicas(database, folder, {**SETTINGS, "CHAOS_BUG": bug}) as servers:
        async with grpc.aio.insecure_channel(servers[0].target) as channel:
            model_ids = [await an_active_model(channel) for _ in range(2)]
        crowd = Crowd(database, servers, model_ids, LOADS[ledger])
        try:
            await crowd.run(faults)
        finally:
            await crowd.leave()
        await read_log(crowd.history, ledger, database)
    return crowd.history


@asynccontextmanager
async def two_replicas(database: str, folder: Path, settings: dict[str, str]) -> AsyncIterator[list[ServerProcess]]:
    """Two replicas that serve, and are gone afterwards."""
    servers = [a_replica(database, folder / f"{number}.log", settings) for number in range(2)]
    async with AsyncExitStack() as stack:
        for server in servers:
            stack.push_async_callback(_end, server)
        await asyncio.gather(*(server.start() for server in servers))
        yield servers


async def _end(server: ServerProcess) -> None:
    if server.process is not None and server.process.returncode is None:
        await server.kill()
