"""A trading side: pgbench with its TPC-B-like transactions, and who is connected meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from tests.cluster import Cluster

SCALE = 10
SAMPLE_SECONDS = 0.05
LONGEST_RUN = 120
CONNECTIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'ai\\_grpc %'
"""


async def initialise(cluster: Cluster, dsn: str) -> None:
    """Makes the tables: ten branches, a hundred tellers, a million accounts."""
    await _run(cluster, "--initialize", f"--scale={SCALE}", "--quiet", dsn)


async def transactions(cluster: Cluster, dsn: str, clients: int, seconds: int) -> list[float]:
    """Seconds of each transaction of some clients, each of which has a connection of its own."""
    with TemporaryDirectory() as folder:
        load = (f"--client={clients}", f"--time={seconds}", "--no-vacuum")
        await _run(cluster, *load, "--log", f"--log-prefix={folder}/transactions", dsn)
        return _latencies(Path(folder))


@asynccontextmanager
async def most_connections(dsn: str) -> AsyncIterator[list[int]]:
    """How many connections the service has, again and again."""
    counts: list[int] = []
    connection = await asyncpg.connect(dsn)

    async def sample() -> None:
        while True:
            counts.append(await connection.fetchval(CONNECTIONS))
            await asyncio.sleep(SAMPLE_SECONDS)

    try:
        async with asyncio.TaskGroup() as group:
            sampling = group.create_task(sample())
            yield counts
            sampling.cancel()
    finally:
        await connection.close()


def _latencies(folder: Path) -> list[float]:
    """From the logs, whose third column is in microseconds."""
    return [int(line.split()[2]) / 1e6 for log in folder.iterdir() for line in log.read_text().splitlines()]


async def _run(cluster: Cluster, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        cluster.bin / "pgbench", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(LONGEST_RUN):
        output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"pgbench: {output.decode()}")
