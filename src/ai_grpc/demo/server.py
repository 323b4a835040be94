"""The server of the demonstration, with a database of its own that is gone afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ai_grpc.client import connect
from ai_grpc.demo.processes import Child, ChildDied, child

START_SECONDS = 60.0
POSTGRES_STOP_SECONDS = 20.0


@asynccontextmanager
async def server(folder: Path, *, configured_database: bool) -> AsyncIterator[tuple[Child, str]]:
    """A server process on a free port of the loopback, and its target; wait `until_serving` before using it."""
    environment = dict(os.environ) if configured_database else _own_environment(folder)
    environment["AI_GRPC_HOST"] = "127.0.0.1"
    port = _free_port()
    arguments = ("ai_grpc", "serve", "--port", str(port))
    # Away from the folder of the caller, whose .env may name a database.
    place = None if configured_database else folder
    try:
        started = child("server", "ai_grpc.demo.leash", *arguments, folder=folder, environment=environment, place=place)
        async with started as process:
            yield process, f"127.0.0.1:{port}"
    finally:
        await _end_postgres(folder)


async def until_serving(process: Child, target: str) -> None:
    """Returns when the server says that it serves; ChildDied if it does not within a minute."""
    try:
        async with asyncio.timeout(START_SECONDS):
            await _serving(target)
    except TimeoutError:
        raise ChildDied(f"the server did not serve within {START_SECONDS:g} s{process.last_lines()}") from None


def database_url(folder: Path) -> str:
    """The database that a server has made for itself in its folder."""
    (data,) = folder.glob("*/data")
    return f"postgresql://postgres@/postgres?{urlencode({'host': data})}"


def _own_environment(folder: Path) -> dict[str, str]:
    if os.geteuid() == 0:
        # PostgreSQL runs as another user then, who must get through to its data.
        folder.chmod(0o711)
    foreign = ("AI_GRPC_", "DATABASE_URL", "PG", "RAILWAY_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return own | {"AI_GRPC_DATA_DIR": str(folder)}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def _serving(target: str) -> None:
    while True:
        # A channel for each attempt: one that was refused waits a second before it tries again.
        async with connect(target) as channel:
            with suppress(aio.AioRpcError):
                answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
        await asyncio.sleep(0.1)


async def _end_postgres(folder: Path) -> None:
    # A server that stops takes its PostgreSQL along; one that was killed does not.
    with suppress(FileNotFoundError, ProcessLookupError):
        for pid in _postgres(folder):
            os.kill(pid, signal.SIGINT)
        async with asyncio.timeout(POSTGRES_STOP_SECONDS):
            while running := _postgres(folder):
                for pid in running:
                    os.kill(pid, 0)
                await asyncio.sleep(0.05)


def _postgres(folder: Path) -> list[int]:
    return [int(path.read_text().split()[0]) for path in folder.glob("*/data/postmaster.pid")]
