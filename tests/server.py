"""A server process, as an operator runs it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from tests.cluster import free_port

START_SECONDS = 60
STOP_SECONDS = 20
IMPATIENT = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 50)]


class ServerProcess:
    """`ai-grpc serve` on one port, which stays the same when it is killed and started again.

    Another `program` may change it first, or look into it.
    """

    def __init__(
        self,
        dsn: str,
        log: Path,
        settings: Mapping[str, str] | None = None,
        program: Sequence[str] = ("ai_grpc", "serve"),
    ) -> None:
        self._dsn, self._log, self._settings, self._program = dsn, log, settings or {}, program
        self.port = free_port()
        self.target = f"127.0.0.1:{self.port}"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it serves."""
        await self.launch({})
        await self.becomes(HealthCheckResponse.SERVING, START_SECONDS)

    async def launch(self, more: Mapping[str, str]) -> None:
        """Starts it, with more in its environment, and does not wait."""
        environment = {
            **os.environ,
            "DATABASE_URL": self._dsn,
            "AI_GRPC_HOST": "127.0.0.1",
            "AI_GRPC_PORT": str(self.port),
            **self._settings,
            **more,
        }
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *self._program), env=environment, stdout=log, stderr=log
            )

    async def becomes(self, state: HealthCheckResponse.ServingStatus.ValueType, seconds: float) -> None:
        """Waits until the health service says so."""
        async with asyncio.timeout(seconds), grpc.aio.insecure_channel(self.target, IMPATIENT) as channel:
            while True:
                try:
                    async for response in HealthStub(channel).Watch(HealthCheckRequest()):
                        if response.status == state:
                            return
                except grpc.aio.AioRpcError:
                    assert self.process is not None
                    assert self.process.returncode is None, self.log
                    await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """SIGKILL."""
        await self._end(signal.SIGKILL)

    async def terminate(self) -> int:
        """SIGTERM; returns the exit status."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(STOP_SECONDS):
            return await self.process.wait()

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        """All that it has printed."""
        return self._log.read_text()


@asynccontextmanager
async def serving(dsn: str, log: Path, settings: Mapping[str, str] | None = None) -> AsyncIterator[ServerProcess]:
    """A server process that serves, and is gone afterwards."""
    server = ServerProcess(dsn, log, settings)
    try:
        await server.start()
        yield server
    finally:
        if server.process is not None and server.process.returncode is None:
            await server.kill()
