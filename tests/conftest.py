"""PostgreSQL for the tests: TEST_DATABASE_URL, else a container where Docker runs, else a server of the wheel."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import settings

from ai_grpc import dsn, migrations
from ai_grpc.postgres import binaries
from tests.cluster import Cluster

CONTAINER = "postgres:17"
MEMORY = Path("/dev/shm")
ROOM = 4 * 1024**3


def pytest_configure() -> None:
    """Lets programs that the tests start hear Ctrl-C: a shell that runs this in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The same examples each time: `make fuzz` looks for others. How long one takes depends on who runs beside it.
    settings.register_profile("tests", derandomize=True, deadline=None)
    settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Long tests run only with `--long`."""
    parser.addoption("--long", action="store_true", help="also run the tests that are marked as long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the long ones out."""
    if not config.getoption("--long"):
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_report_header() -> str:
    """Says which PostgreSQL the tests use."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        return f"postgresql: {dsn.redacted(url)}"
    return f"postgresql: {f'container {CONTAINER}' if _docker_answers() else server_binaries()}"


def server_binaries() -> Path:
    """The programs of PostgreSQL that a Cluster runs: those in TEST_POSTGRES_BIN, else those of the wheel."""
    return Path(os.environ["TEST_POSTGRES_BIN"]) if os.environ.get("TEST_POSTGRES_BIN") else binaries()


def memory() -> Path | None:
    """The folder in memory, if there is one with room: a new database is some hundred files, made ten times as fast."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a server, as its superuser."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield dsn.normalise(url)
    elif _docker_answers():
        with _container() as url:
            yield url
    else:
        with Cluster(server_binaries(), memory()) as server:
            yield server.url()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def template(postgres: str) -> AsyncIterator[str]:
    """The name of a migrated database, to be copied and otherwise left alone."""
    async with a_database(postgres) as name:
        await asyncio.to_thread(migrations.up, at(postgres, name))
        yield name


@pytest.fixture
async def empty_database(postgres: str) -> AsyncIterator[str]:
    """The URL of a database with nothing in it."""
    async with a_database(postgres) as name:
        yield at(postgres, name)


@pytest.fixture
async def database(postgres: str, template: str) -> AsyncIterator[str]:
    """The URL of a migrated database of the test's own."""
    async with a_database(postgres, template) as name:
        yield at(postgres, name)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A server of the test's own, to stop and start; its database `postgres` is migrated."""
    with Cluster(server_binaries()) as server:
        migrations.up(server.url())
        yield server


def at(url: str, database: str) -> str:
    """The URL of another database of the same server."""
    return re.sub(r"^(postgresql://[^/?]*)(/[^?]*)?", rf"\1/{database}", url)


def with_login(url: str, user: str, password: str) -> str:
    """The URL for another user."""
    return re.sub(r"^postgresql://([^@/?]*@)?", f"postgresql://{user}:{password}@", url)


async def ask(url: str, query: str) -> object:
    """What one statement returns: the first value of its first row."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return await connection.fetchval(query, timeout=60)
    finally:
        await connection.close(timeout=10)


@asynccontextmanager
async def a_database(server: str, template: str = "template1") -> AsyncIterator[str]:
    """The name of a database on a server, for a while."""
    name = f"test_{uuid.uuid4().hex}"
    await ask(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield name
    finally:
        await ask(server, f"DROP DATABASE {name} WITH (FORCE)")


@cache
def _docker_answers() -> bool:
    # In a process of its own: the client leaves its sockets open where nobody answers.
    ping = "import docker; docker.from_env(timeout=2).ping()"
    try:
        return subprocess.run([sys.executable, "-c", ping], capture_output=True, timeout=4).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@contextmanager
def _container() -> Iterator[str]:
    from testcontainers.community.postgres import PostgresContainer

    container = PostgresContainer(CONTAINER, username="postgres", dbname="postgres", driver=None)
    with container.with_command("postgres -c max_connections=300"):
        yield dsn.normalise(container.get_connection_url())
