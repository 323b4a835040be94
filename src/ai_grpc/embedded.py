"""The database of a process: the configured one, or else the embedded PostgreSQL.

Processes share the embedded one: the first starts it, the last stops it. A process that is killed leaves it running,
and the next attaches to it.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import platformdirs

from ai_grpc import dsn, migrations
from ai_grpc.errors import ConfigurationError
from ai_grpc.locks import lock
from ai_grpc.postgres import START_SECONDS, STOP_SECONDS, SYSTEM_USER, Identity, Server, unprivileged
from ai_grpc.settings import Settings

logger = logging.getLogger(__name__)

DATA_DIR_OF_ROOT: Final = Path("/var/lib/ai-grpc")


@asynccontextmanager
async def database(settings: Settings, *, migrate_embedded: bool = True) -> AsyncIterator[str]:
    """The URL of the configured database, once that answers, or else of the embedded one, with its schema."""
    configured = settings.database_url.get_secret_value().strip() if settings.database_url else ""
    if url := dsn.normalise(configured) if configured else dsn.from_environment():
        await migrations.wait_for_database(url, settings.database_wait)
        yield url
        return
    with embedded(settings.data_dir) as url:
        if migrate_embedded:
            await asyncio.to_thread(migrations.up, url)
        yield url


@contextmanager
def embedded(data_dir: Path | None = None) -> Iterator[str]:
    """The URL of the embedded PostgreSQL, which runs as long as a process is inside. Raises ConfigurationError."""
    folder = (data_dir or _default_data_dir()).absolute() / "postgresql-18"
    server = Server(folder, _prepare(folder))
    with (folder / "users.lock").open("w") as users:
        with _alone(folder):
            server.start()
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield server.url
        finally:
            with _alone(folder):
                if lock(users):
                    server.stop()


def _default_data_dir() -> Path:
    # PostgreSQL does not run as root, and the user that it runs as cannot reach the home of root.
    return DATA_DIR_OF_ROOT if os.geteuid() == 0 else platformdirs.user_data_path("ai-grpc", appauthor=False)


def _prepare(folder: Path) -> Identity:
    try:
        identity = unprivileged()
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if identity:
            os.chown(folder, identity["user"], identity["group"])
    except OSError as error:
        raise ConfigurationError(
            f"no database can be kept in {folder}: {error}; set AI_GRPC_DATA_DIR, or DATABASE_URL"
        ) from error
    if identity:
        logger.warning("running as root: PostgreSQL runs as the user %s, on data in %s", SYSTEM_USER, folder)
    return identity


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps out who else starts or stops the server, and those who are about to use or leave it."""
    with (folder / "start.lock").open("w") as file:
        if not lock(file, START_SECONDS + STOP_SECONDS):
            raise ConfigurationError(f"another process starts or stops PostgreSQL in {folder} without an end")
        yield
