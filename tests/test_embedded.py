"""The embedded PostgreSQL, shared by real processes."""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import pytest

from ai_grpc import dsn, migrations
from ai_grpc.cli_database import read_settings
from ai_grpc.embedded import database, embedded
from ai_grpc.errors import ConfigurationError
from ai_grpc.postgres import binaries, unprivileged
from tests.conftest import ask

SECONDS = 30
STAY_INSIDE = """
import sys
from pathlib import Path
from ai_grpc.embedded import embedded
with embedded(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.read()
"""
ASK_WHOM_IT_RUNS_AS = """
import sys
from ai_grpc import postgres
postgres.SYSTEM_USER = sys.argv[1]
print(flush=True)
sys.stdin.read()
print(postgres.unprivileged()["user"])
"""


@pytest.fixture
def data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder that the user of PostgreSQL can reach, in an environment without any other database."""
    for name in ("DATABASE_URL", "AI_GRPC_DATABASE_URL", "PGHOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    folder = Path(tempfile.mkdtemp(prefix="ai-grpc-embedded-"))
    folder.chmod(0o755)
    yield folder
    if postmaster(folder):
        with embedded(folder):
            pass
    shutil.rmtree(folder)


def postmaster(data_dir: Path) -> int | None:
    """The process of the server on the folder, as long as it runs."""
    file = data_dir / "postgresql-18" / "data" / "postmaster.pid"
    return int(file.read_text().split()[0]) if file.exists() else None


def process_inside(data_dir: Path) -> AbstractAsyncContextManager[Process]:
    """A process that uses the embedded server until its input ends."""
    return program(STAY_INSIDE, str(data_dir))


@asynccontextmanager
async def program(code: str, argument: str) -> AsyncIterator[Process]:
    """A process that has said a first line, and goes on when its input ends."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, argument, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), SECONDS) == b"\n"
        yield process
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), SECONDS)


async def test_processes_share_one_server_and_the_last_one_stops_it(data_dir: Path) -> None:
    async with process_inside(data_dir):
        first = postmaster(data_dir)
        async with process_inside(data_dir):
            assert postmaster(data_dir) == first
        assert postmaster(data_dir) == first
    assert postmaster(data_dir) is None


async def test_processes_that_start_together_share_one_server(data_dir: Path) -> None:
    processes: list[AbstractAsyncContextManager[Process]] = [process_inside(data_dir) for _ in range(4)]
    await asyncio.gather(*(process.__aenter__() for process in processes))
    assert postmaster(data_dir) is not None
    await asyncio.gather(*(process.__aexit__(None, None, None) for process in processes))
    assert postmaster(data_dir) is None


async def test_killed_process_leaves_the_server_to_the_next_one(data_dir: Path) -> None:
    async with process_inside(data_dir) as process:
        process.kill()
    left = postmaster(data_dir)
    assert left is not None
    with embedded(data_dir) as url:
        assert postmaster(data_dir) == left
        assert await ask(url, "SELECT 1") == 1
    assert postmaster(data_dir) is None


async def test_data_is_there_again_after_a_restart(data_dir: Path) -> None:
    with embedded(data_dir) as url:
        await ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    with embedded(data_dir) as url:
        assert await ask(url, "SELECT answer FROM kept") == 42


async def test_acknowledged_commits_are_durable(data_dir: Path) -> None:
    with embedded(data_dir) as url:
        assert await ask(url, "SELECT current_setting('fsync') || current_setting('synchronous_commit')") == "onon"


def test_server_that_still_recovers_is_waited_for(data_dir: Path) -> None:
    with embedded(data_dir):
        pass
    home = data_dir / "postgresql-18"
    with (home / "data" / "postgresql.auto.conf").open("a") as settings:
        settings.write("restore_command = 'sleep 1; false'\nhot_standby = off\n")
    (home / "data" / "recovery.signal").touch()
    options = f"-p 5432 -c listen_addresses= -k {home / 'data'}"
    start = [
        str(binaries() / "pg_ctl"),
        "-D",
        str(home / "data"),
        "-l",
        str(home / "log"),
        "-o",
        options,
        "-W",
        "start",
    ]
    subprocess.run(start, check=True, timeout=SECONDS, cwd=home, stdout=subprocess.DEVNULL, **unprivileged())
    deadline = time.monotonic() + SECONDS
    while "starting archive recovery" not in (home / "log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with embedded(data_dir) as url:
        assert "archive recovery complete" in (home / "log").read_text()
        assert asyncio.run(ask(url, "SELECT 1")) == 1


def test_interrupted_setup_is_not_in_the_way_of_the_next(data_dir: Path) -> None:
    (data_dir / "postgresql-18" / "data.new").mkdir(parents=True)
    (data_dir / "postgresql-18" / "data.new" / "PG_VERSION").write_text("18\n")
    with embedded(data_dir):
        assert postmaster(data_dir) is not None


def test_server_that_cannot_start_says_why_in_one_line(data_dir: Path) -> None:
    with embedded(data_dir):
        pass
    with (data_dir / "postgresql-18" / "data" / "postgresql.auto.conf").open("a") as settings:
        settings.write("shared_preload_libraries = 'none'\n")
    with (
        pytest.raises(ConfigurationError, match=r"^.*does not start: .*FATAL: .*\"none\".*; see .*log$"),
        embedded(data_dir),
    ):
        pass


def test_path_too_long_for_a_socket_is_refused(data_dir: Path) -> None:
    with pytest.raises(ConfigurationError, match="AI_GRPC_DATA_DIR"), embedded(data_dir / ("long" * 25)):
        pass


def test_place_that_cannot_be_written_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigurationError, match=r"^no database can be kept in .*AI_GRPC_DATA_DIR"):
        embedded(Path("/dev/null/data")).__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_root_is_told_whom_postgresql_runs_as(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), embedded(data_dir):
        pass
    assert [record.message for record in caplog.records] == [
        f"running as root: PostgreSQL runs as the user pgserver, on data in {data_dir / 'postgresql-18'}"
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
async def test_processes_that_start_together_on_a_new_machine_make_one_user() -> None:
    user = f"test{uuid.uuid4().hex[:12]}"
    async with AsyncExitStack() as stack:
        stack.callback(subprocess.run, ["userdel", user], check=True, timeout=SECONDS, capture_output=True)
        processes = [await stack.enter_async_context(program(ASK_WHOM_IT_RUNS_AS, user)) for _ in range(6)]
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        answers = [await asyncio.wait_for(process.communicate(), SECONDS) for process in processes]
        assert {answer for answer, _ in answers} == {f"{pwd.getpwnam(user).pw_uid}\n".encode()}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_user_that_cannot_be_made_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ai_grpc.postgres.SYSTEM_USER", "not a name")
    with pytest.raises(ConfigurationError, match=r"^PostgreSQL does not run as root, .*'not a name'.*DATABASE_URL$"):
        unprivileged()


async def test_configured_database_goes_before_the_embedded_one(data_dir: Path, postgres: str) -> None:
    async with database(read_settings(database_url=postgres, data_dir=data_dir)) as url:
        assert url == dsn.normalise(postgres)
    assert os.listdir(data_dir) == []


async def test_database_of_the_libpq_environment_goes_before_the_embedded_one(
    data_dir: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = urlsplit(postgres)
    named = {"HOST": address.hostname, "PORT": address.port, "USER": address.username, "PASSWORD": address.password}
    for name, value in named.items():
        monkeypatch.setenv(f"PG{name}", unquote(str(value or "")))
    monkeypatch.setenv("PGDATABASE", "postgres")
    async with database(read_settings(data_dir=data_dir)) as url:
        assert await ask(url, "SELECT 1") == 1
    assert os.listdir(data_dir) == []


async def test_without_any_configuration_the_embedded_database_is_ready_to_use(data_dir: Path) -> None:
    async with database(read_settings(data_dir=data_dir)) as url:
        connection = await asyncpg.connect(url)
        status = await migrations.status(connection)
        await connection.close()
    assert status.applied
    assert not status.pending
