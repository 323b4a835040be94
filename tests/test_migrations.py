"""The migrations, and what is said when they cannot be applied."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import psutil
import pytest

from ai_grpc import migrations
from ai_grpc.errors import ConfigurationError
from tests import schema
from tests.cluster import Cluster, free_port
from tests.conftest import ask, with_login

SECRET = "s3cret"
ROLE = """
DO $$ BEGIN CREATE ROLE ai_trading_service; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$
"""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection for a moment."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        yield connection
    finally:
        await connection.close(timeout=10)


async def status(url: str) -> migrations.Status:
    """What the database says of its migrations."""
    async with connected(url) as connection:
        return await migrations.status(connection)


def child(name: str) -> psutil.Process:
    """The child process of this name, once there is one."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for process in psutil.Process().children():
            if process.name() == name:
                return process
        time.sleep(0.01)
    raise TimeoutError(name)


def versions() -> tuple[str, ...]:
    """All versions that the program knows."""
    return tuple(migrations.version(path) for path in migrations.files())


def test_schema_file_is_what_the_migrations_make(database: str) -> None:
    assert schema.FILE.read_text() == schema.dump(database), "run python -m tests.schema"


async def test_each_migration_goes_down_and_up_again(empty_database: str) -> None:
    names = [path.stem for path in migrations.files()]
    assert migrations.up(empty_database) == names
    before = schema.dump(empty_database)
    for steps in range(1, len(names) + 1):
        for name in list(reversed(names))[:steps]:
            assert migrations.down(empty_database) == [name]
        assert (await status(empty_database)).applied == versions()[: len(names) - steps]
        assert migrations.up(empty_database) == names[len(names) - steps :]
        assert schema.dump(empty_database) == before


async def test_last_migration_taken_back_leaves_nothing_but_the_list(empty_database: str) -> None:
    migrations.up(empty_database)
    for _ in migrations.files():
        migrations.down(empty_database)
    async with connected(empty_database) as connection:
        left = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'ai_trading'::regnamespace AND relkind IN ('r', 'S')"
            " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'ai_trading'::regnamespace"
        )
    assert [row[0] for row in left] == ["schema_migrations"]


async def test_replicas_that_migrate_together_apply_each_migration_once(empty_database: str) -> None:
    code = "import sys; from ai_grpc import migrations; print(*migrations.up(sys.argv[1]), sep='\\n')"
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", code, empty_database, stdout=PIPE) for _ in range(4)
    ]
    outputs = [await asyncio.wait_for(process.communicate(), 60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    applied = [name for output, _ in outputs for name in output.decode().split()]
    assert applied == [path.stem for path in migrations.files()]


async def test_status_of_an_empty_database_is_all_pending(empty_database: str) -> None:
    assert await status(empty_database) == migrations.Status(applied=(), pending=versions(), unknown=())


async def test_status_tells_migrations_of_a_newer_program(database: str) -> None:
    async with connected(database) as connection:
        await connection.execute(f"INSERT INTO {migrations.TABLE} VALUES ('9999')")
    assert await status(database) == migrations.Status(applied=(*versions(), "9999"), pending=(), unknown=("9999",))


@pytest.fixture
async def stranger(postgres: str, empty_database: str) -> AsyncIterator[str]:
    """The URL of an empty database for a login that may do nothing there, with the password SECRET."""
    async with login(postgres, "LOGIN") as name:
        yield with_login(empty_database, name, SECRET)


@asynccontextmanager
async def login(server: str, attributes: str) -> AsyncIterator[str]:
    """The name of a new role with the password SECRET."""
    name = f"login_{uuid.uuid4().hex}"
    await ask(server, f"CREATE ROLE {name} {attributes} PASSWORD '{SECRET}'")
    yield name
    await ask(server, f"DROP ROLE {name}")


def test_login_that_may_not_migrate_is_told_so_in_one_line(stranger: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"cannot be migrated: permission denied for database \S+ \(\w+\)$"
    ) as no:
        migrations.up(stranger)
    assert "\n" not in str(no.value)
    assert SECRET not in str(no.value)


@pytest.mark.parametrize("grant", ["", "WITH ADMIN TRUE, SET FALSE"])
async def test_an_owner_of_the_database_migrates_with_the_role_that_an_administrator_made(
    postgres: str, empty_database: str, grant: str
) -> None:
    if grant and int(str(await ask(postgres, "SHOW server_version_num"))) < 160000:
        return
    await ask(postgres, ROLE)
    async with login(postgres, "LOGIN") as name:
        await ask(postgres, f"GRANT ai_trading_service TO {name} {grant}")
        await ask(postgres, f"ALTER DATABASE {empty_database.rpartition('/')[2]} OWNER TO {name}")
        try:
            url = with_login(empty_database, name, SECRET)
            assert migrations.up(url) == [path.stem for path in migrations.files()]
            await ask(url, "SELECT set_config('role', 'ai_trading_service', false)")
        finally:
            await ask(empty_database, f"REASSIGN OWNED BY {name} TO CURRENT_USER")
            await ask(empty_database, f"DROP OWNED BY {name} CASCADE")


@pytest.mark.parametrize("hosts", ["127.0.0.1:1", "127.0.0.1:1,127.0.0.2:1"])
def test_server_that_is_not_there_is_told_in_one_line(hosts: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be migrated: .*connection refused") as no:
        migrations.up(f"postgresql://u:{SECRET}@{hosts}/d")
    assert "\n" not in str(no.value)
    assert SECRET not in str(no.value)


async def test_password_is_not_in_the_arguments_of_any_process(postgres: str, database: str) -> None:
    async with login(postgres, "LOGIN SUPERUSER") as name:
        async with connected(database) as connection, connection.transaction():
            await connection.execute(f"LOCK TABLE {migrations.TABLE} IN ACCESS EXCLUSIVE MODE")
            migrating = asyncio.create_task(asyncio.to_thread(migrations.up, with_login(database, name, SECRET)))
            dbmate = await asyncio.to_thread(child, "dbmate")
            assert "migrate" in dbmate.cmdline()
            assert SECRET in dbmate.environ().values()
            assert not any(SECRET in argument for argument in dbmate.cmdline())
        assert await asyncio.wait_for(migrating, 30) == []


async def test_database_that_comes_up_is_waited_for(cluster: Cluster) -> None:
    cluster.stop()
    waiting = asyncio.create_task(migrations.wait_for_database(cluster.url(), 30))
    done, _ = await asyncio.wait([waiting], timeout=0.5)
    assert not done
    await asyncio.to_thread(cluster.start)
    await asyncio.wait_for(waiting, 10)


async def test_waiting_ends_with_what_was_in_the_way() -> None:
    with pytest.raises(
        ConfigurationError, match=r"no connection to postgresql://u@127\.0\.0\.1.*Connect call failed"
    ) as no:
        await asyncio.wait_for(
            migrations.wait_for_database(f"postgresql://u:{SECRET}@127.0.0.1:{free_port()}/d", 0.5), 5
        )
    assert "\n" not in str(no.value)
    assert SECRET not in str(no.value)


@pytest.mark.parametrize(
    ("login", "database", "reason"),
    [("stranger:wrong", "postgres", "password authentication failed"), ("postgres", "none", "does not exist")],
)
async def test_what_waiting_cannot_help_is_told_at_once(
    cluster: Cluster, login: str, database: str, reason: str
) -> None:
    async with connected(cluster.url()) as connection:
        await connection.execute(f"CREATE ROLE stranger LOGIN PASSWORD '{SECRET}'")
    url = f"postgresql://{login}@127.0.0.1:{cluster.port}/{database}"
    with pytest.raises(ConfigurationError, match=reason):
        await asyncio.wait_for(migrations.wait_for_database(url, 60), 5)
