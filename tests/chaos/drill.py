"""A short run with much at once, to bring a seeded bug to light: two replicas, a crowd, and the faults it needs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse

from tests.chaos.bugs import apply
from tests.chaos.drill_crowd import GRACE, Crowd
from tests.chaos.history import History
from tests.chaos.oracle import read_log
from tests.server import START_SECONDS, ServerProcess
from tests.signals import an_active_model

# A ring that wraps many times in a second.
SETTINGS: Final = {
    "AI_GRPC_LOG_LEVEL": "ERROR",
    "AI_GRPC_RING_EVENTS": "100",
    "AI_GRPC_POLL_INTERVAL": "0.1",
    "AI_GRPC_SWEEP_INTERVAL": "60",
    "AI_GRPC_DRAIN_GRACE": str(GRACE),
}


class Replica(ServerProcess):
    """A server process that may have a seeded bug."""

    async def start(self) -> None:
        """Returns when it serves."""
        own = {"DATABASE_URL": self._dsn, "AI_GRPC_HOST": "127.0.0.1", "AI_GRPC_PORT": str(self.port)}
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.chaos.replica", "serve"),
                env={**os.environ, **own, **self._settings},
                stdout=log,
                stderr=log,
            )
        await self.becomes(HealthCheckResponse.SERVING, START_SECONDS)


async def drill(database: str, folder: Path, bug: str = "", faults: Collection[str] = ()) -> History:
    """The history of a run with a bug and with faults."""
    if bug:
        await apply(database, bug)
    async with two_replicas(database, folder, {**SETTINGS, "CHAOS_BUG": bug}) as servers:
        async with grpc.aio.insecure_channel(servers[0].target) as channel:
            model_ids = [await an_active_model(channel) for _ in range(2)]
        crowd = Crowd(database, servers, model_ids)
        try:
            await crowd.run(faults)
        finally:
            await crowd.leave()
        await read_log(crowd.history, database)
    return crowd.history


@asynccontextmanager
async def two_replicas(database: str, folder: Path, settings: dict[str, str]) -> AsyncIterator[list[Replica]]:
    """Two replicas that serve, and are gone afterwards."""
    servers = [Replica(database, folder / f"{number}.log", settings) for number in range(2)]
    async with AsyncExitStack() as stack:
        for server in servers:
            stack.push_async_callback(_end, server)
        await asyncio.gather(*(server.start() for server in servers))
        yield servers


async def _end(server: Replica) -> None:
    if server.process is not None and server.process.returncode is None:
        await server.kill()
