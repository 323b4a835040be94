"""`ai-grpc migrate` and `ai-grpc db`, as processes."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from ai_grpc import migrations
from tests.conftest import with_login

SECRET = "s3cret"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `ai-grpc` with a database and nothing else in its environment, in a folder without a `.env`."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AI_GRPC_", "DATABASE_URL", "PG"))}

    def ai_grpc(
        *arguments: str, database: str = "", answer: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ai_grpc", *arguments],
            env={**own, "DATABASE_URL": database, "COLUMNS": "200", **environment},
            input=answer,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
        )

    return ai_grpc


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the migrated database, as its owner."""
    connection = await asyncpg.connect(database, timeout=10)
    yield connection
    await connection.close(timeout=10)


@pytest.fixture
async def login(connection: asyncpg.Connection, database: str) -> AsyncIterator[str]:
    """The URL of the migrated database for a login with the rights of the service and no others."""
    name = f"login_{uuid.uuid4().hex}"
    await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'; GRANT ai_trading_service TO {name}")
    yield with_login(database, name, SECRET)
    await connection.execute(f"DROP ROLE {name}")


def user(url: str) -> str:
    """Whose URL it is."""
    return url.removeprefix("postgresql://").partition(":")[0]


def rows(output: str) -> dict[str, str]:
    """What `db verify` says, by subject: the verdict and the text."""
    cells = [[cell.strip() for cell in line.split("│")] for line in output.splitlines() if "│" in line]
    return {subject: f"{verdict}: {text}" for _, verdict, subject, text, _ in cells}


def test_migrations_are_applied_listed_and_taken_back(run: Run, empty_database: str) -> None:
    names = [path.stem for path in migrations.files()]
    assert run("migrate", "status", database=empty_database).returncode == 1
    assert run("migrate", "up", database=empty_database).stdout.split() == names
    assert run("migrate", "up", database=empty_database).stdout == "nothing is pending\n"
    status = run("migrate", "status", database=empty_database)
    assert status.returncode == 0
    assert status.stdout.splitlines() == [f"applied  {migrations.version(path)}" for path in migrations.files()]
    assert run("migrate", "down", "--yes", database=empty_database).stdout.split() == names[-1:]
    assert run("migrate", "status", database=empty_database).stdout.splitlines()[-1].startswith("pending")


def test_nothing_is_dropped_without_a_yes(run: Run, database: str) -> None:
    assert run("migrate", "down", database=database, answer="n\n").returncode == 1
    assert run("migrate", "status", database=database).returncode == 0


def test_database_url_of_the_command_line_goes_before_the_environment(run: Run, database: str) -> None:
    assert (
        run("migrate", "status", "--database-url", database, database="postgres://nobody@127.0.0.1:1/no").returncode
        == 0
    )


def test_database_fit_for_the_service_is_verified(run: Run, login: str) -> None:
    result = run("db", "verify", database=login)
    found = rows(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
    assert list(found) == ["address", "version", "TLS", "writes", "schema", "role", "rights", "log", "connections"]
    assert all(text.startswith("good") for text in found.values()), found
    assert found["role"] == f"good: {user(login)} acts as ai_trading_service"
    assert f" -U {user(login)} {login.rpartition('/')[2]}" in found["address"]


def test_database_without_the_schema_is_not_fit(run: Run, empty_database: str) -> None:
    result = run("db", "verify", database=empty_database)
    assert result.returncode == 1
    assert rows(result.stdout)["schema"].endswith("pending: run ai-grpc migrate up")


async def test_login_that_is_no_member_of_the_role_is_not_fit(
    run: Run, login: str, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        f"REVOKE ai_trading_service FROM {user(login)}; GRANT USAGE ON SCHEMA ai_trading TO PUBLIC"
    )
    await connection.execute(f"GRANT SELECT ON {migrations.TABLE} TO PUBLIC")
    result = run("db", "verify", database=login)
    assert result.returncode == 1
    assert rows(result.stdout)["role"].startswith(f"bad: {user(login)} cannot act as ai_trading_service")


async def test_role_without_a_right_is_not_fit(run: Run, login: str, connection: asyncpg.Connection) -> None:
    await connection.execute("REVOKE EXECUTE ON FUNCTION ai_trading.append_signals FROM ai_trading_service")
    result = run("db", "verify", database=login)
    assert result.returncode == 1
    assert rows(result.stdout)["rights"].startswith("bad: the role may not use append_signals")


async def test_role_that_can_write_past_the_log_is_doubtful(
    run: Run, login: str, connection: asyncpg.Connection
) -> None:
    await connection.execute("GRANT INSERT ON ai_trading.ai_signals TO ai_trading_service")
    result = run("db", "verify", database=login)
    assert result.returncode == 0
    assert rows(result.stdout)["rights"] == "doubtful: the role may write ai_signals past the log"


@pytest.mark.parametrize(
    ("limit", "status", "text"),
    [
        (22, 1, "bad: a replica opens up to 23 of 22"),
        (45, 0, "doubtful: a replica opens up to 23 of 45"),
        (69, 0, "good: a replica opens up to 23 of 69: enough for 3 replicas"),
    ],
)
async def test_pools_are_summed_against_what_the_server_allows(
    run: Run, login: str, connection: asyncpg.Connection, limit: int, status: int, text: str
) -> None:
    await connection.execute(f"ALTER ROLE {user(login)} CONNECTION LIMIT {limit}")
    result = run("db", "verify", database=login)
    assert result.returncode == status
    assert rows(result.stdout)["connections"].startswith(text)


async def test_new_epoch_is_begun_after_a_yes_only(run: Run, database: str, connection: asyncpg.Connection) -> None:
    first = await connection.fetchval("SELECT epoch::text FROM ai_trading.log_meta")
    events = await connection.fetchval("SELECT epoch FROM ai_trading.event_log_meta")
    assert run("db", "new-epoch", database=database, answer="n\n").returncode == 1
    assert await connection.fetchval("SELECT epoch::text FROM ai_trading.log_meta") == first
    result = run("db", "new-epoch", database=database, answer="y\n")
    second = await connection.fetchval("SELECT epoch::text FROM ai_trading.log_meta")
    assert second != first
    assert second in result.stdout
    assert await connection.fetchval("SELECT epoch FROM ai_trading.event_log_meta") != events


async def test_log_is_trimmed_by_age_and_its_floor_rises(
    run: Run, database: str, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "INSERT INTO ai_trading.signal_log"
        " SELECT n, gen_random_uuid(), 'PUBLISHED', now() - (10 - n) * INTERVAL '1 day'"
        " FROM generate_series(1, 10) AS n"
    )
    await connection.execute(
        "INSERT INTO ai_trading.event_log"
        " SELECT n, 'ANOMALY', 'REPORTED', now() - (5 - n) * INTERVAL '2 days', '{}' FROM generate_series(1, 5) AS n"
    )
    result = run("db", "trim-log", "--keep-days", "4", database=database)
    assert result.stdout == "9 events removed\n"
    assert await connection.fetchval("SELECT floor FROM ai_trading.event_log_meta") == 3
    assert await connection.fetchval("SELECT floor FROM ai_trading.log_meta") == 6
    assert await connection.fetchval("SELECT min(sequence) FROM ai_trading.signal_log") == 7


@pytest.mark.parametrize(
    ("command", "environment", "complaint"),
    [
        ("db verify", {"DATABASE_URL": f"mysql://u:{SECRET}@h/d"}, "the database URL is not readable"),
        ("db verify", {"DATABASE_URL": f"postgres://u:{SECRET}@127.0.0.1:1/d"}, "Connect call failed"),
        ("migrate up", {"DATABASE_URL": f"postgres://u:{SECRET}@h/d?sslmode=none"}, "sslmode"),
        ("migrate status", {"AI_GRPC_PORT": "many"}, "AI_GRPC_PORT in the environment or in .env"),
        ("serve", {"AI_GRPC_LOG_LEVEL": "loud"}, "AI_GRPC_LOG_LEVEL"),
        ("serve", {"AI_GRPC_DATA_DIR": "/dev/null/data"}, "AI_GRPC_DATA_DIR"),
    ],
)
def test_what_a_user_can_put_right_is_one_line(
    run: Run, command: str, environment: dict[str, str], complaint: str
) -> None:
    result = run(*command.split(), **environment)
    assert result.returncode == 1
    assert complaint in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert SECRET not in result.stdout + result.stderr


def test_refusal_of_the_database_is_one_line(run: Run, login: str) -> None:
    result = run("db", "new-epoch", "--yes", database=login)
    assert result.returncode == 1
    assert result.stderr == (
        "ai-grpc: the database: permission denied for table log_meta; `ai-grpc db verify` says what it lacks\n"
    )


def test_help_does_not_wait_for_what_only_commands_need(run: Run) -> None:
    result = run("--help", PYTHONPROFILEIMPORTTIME="1")
    assert result.returncode == 0
    for module in ("asyncpg", "grpc._channel", "pydantic", "numpy", "pandas"):
        assert f" {module}\n" not in result.stderr
