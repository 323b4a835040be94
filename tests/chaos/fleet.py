"""Server processes on one PostgreSQL, with a proxy on every line between them, and between them and their clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from grpc_health.v1.health_pb2 import HealthCheckResponse

from tests.chaos.proxy import Proxy
from tests.cluster import Cluster
from tests.server import START_SECONDS, ServerProcess

GRACE: Final = 5.0
POLL_INTERVAL: Final = 0.25

# Small bounds, so that a short run reaches them: the ring, the timeouts, the lifetime of a stream.
SETTINGS: Final = {
    "AI_GRPC_LOG_LEVEL": "WARNING",
    "AI_GRPC_STATEMENT_TIMEOUT": "2",
    "AI_GRPC_LOCK_TIMEOUT": "1",
    "AI_GRPC_CALL_TIMEOUT": "10",
    "AI_GRPC_RING_EVENTS": "500",
    "AI_GRPC_STREAM_LIFETIME": "20",
    "AI_GRPC_SWEEP_INTERVAL": "0.5",
    "AI_GRPC_DRAIN_GRACE": str(GRACE),
    "AI_GRPC_POLL_INTERVAL": str(POLL_INTERVAL),
}
FAKETIME: Final = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
RESTARTS: Final = 5
RESTART_WAIT: Final = 1.0
LAUNCHER: Final = ("tests.chaos.replica", "serve")


class Replica(ServerProcess):
    """A server process whose lines to PostgreSQL, to its clients, and of its tail go through proxies."""

    def __init__(self, name: str, cluster: Cluster, folder: Path, settings: Mapping[str, str]) -> None:
        self.name = name
        self.database, self.tail = Proxy(cluster.port), Proxy(cluster.port)
        self._clock = folder / f"{name}.clock"
        self._clock.write_text("+0")
        environment = {**SETTINGS, **settings, "AI_GRPC_TAIL_DATABASE_URL": _url(self.tail.port)}
        super().__init__(_url(self.database.port), folder / f"{name}.log", environment, LAUNCHER)
        self.clients = Proxy(self.port)
        self.wanted = False
        self._reviving = asyncio.Lock()

    async def start(self, failpoint: str = "", *, clocked: bool = False) -> None:
        """Returns when it serves. With a failpoint it returns at once: it is to die there.

        `clocked` lets `set_clock` work.
        """
        mark = {"CHAOS_FAILPOINT": failpoint} if failpoint else {}
        await self.launch({**mark, **(faketime(self._clock) if clocked else {})})
        if not failpoint:
            await self.becomes(HealthCheckResponse.SERVING, START_SECONDS)
            self.wanted = True

    async def revive(self) -> None:
        """Starts it, if it does not run, as a supervisor does: again if the database went away meanwhile."""
        async with self._reviving:
            for _ in range(RESTARTS):
                if self.process is not None and self.process.returncode is None:
                    return
                with suppress(AssertionError):
                    return await self.start()
                await asyncio.sleep(RESTART_WAIT)
            await self.start()

    async def kill(self) -> None:
        """SIGKILL."""
        self.wanted = False
        await super().kill()

    async def terminate(self) -> int:
        """SIGTERM; returns the exit status."""
        self.wanted = False
        return await super().terminate()

    @property
    def ended_by_itself(self) -> bool:
        """Whether it is gone though nobody wanted that."""
        return self.wanted and self.process is not None and self.process.returncode is not None

    @property
    def url(self) -> str:
        """Where it reaches the database."""
        return self._dsn

    def set_clock(self, offset: str) -> None:
        """How far its clock is off from now on, as `+3600`."""
        self._clock.write_text(offset)


def faketime(clock: Path) -> dict[str, str]:
    """What gives a process the clock whose offset is in the file; only of the day, not the monotonic one."""
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


@asynccontextmanager
async def a_fleet(
    cluster: Cluster, folder: Path, size: int, settings: Mapping[str, str]
) -> AsyncIterator[list[Replica]]:
    """So many replicas that serve; gone afterwards."""
    async with AsyncExitStack() as stack:
        replicas = [Replica(f"replica-{number}", cluster, folder, settings) for number in range(size)]
        for replica in replicas:
            for proxy in (replica.database, replica.tail, replica.clients):
                await stack.enter_async_context(proxy)
            stack.push_async_callback(_end, replica)
        await asyncio.gather(*(replica.start() for replica in replicas))
        yield replicas


async def _end(replica: Replica) -> None:
    if replica.process is not None and replica.process.returncode is None:
        await replica.kill()


def _url(port: int) -> str:
    return f"postgresql://postgres@127.0.0.1:{port}/postgres"
