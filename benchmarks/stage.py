"""What a section measures on: a PostgreSQL of the run's own, and exchanges on databases of their own."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import asyncpg

from ai_grpc import migrations
from ai_grpc.client import connect
from ai_grpc.v1 import models_pb2
from ai_grpc.v1.models_pb2_grpc import ModelServiceStub
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from benchmarks.figures import Figures
from tests.cluster import Cluster
from tests.server import serving

if TYPE_CHECKING:
    from ai_grpc.v1.signals_pb2_grpc import SignalServiceAsyncStub

A_MODEL = """
INSERT INTO ai_trading.ai_models (model_name, version, model_type) VALUES ($1, '1', 'genetic_optimization')
RETURNING model_id::text
"""


class Scale(NamedTuple):
    """How long and how large the measurements are."""

    rounds: int
    seconds: float
    events: int
    subscribers: int
    history: int


class Exchange:
    """A server process on a database of its own, with one model, and what was acknowledged by it."""

    def __init__(self, target: str, pid: int, dsn: str, model_id: str, signals: SignalServiceAsyncStub) -> None:
        self.target, self.pid, self.dsn, self.model_id, self.signals = target, pid, dsn, model_id, signals
        self.acked = 0

    async def check_stored(self) -> None:
        """Raises if the database does not hold exactly what was acknowledged."""
        connection = await asyncpg.connect(self.dsn)
        try:
            stored = await connection.fetchval("SELECT count(*) FROM ai_trading.ai_signals")
        finally:
            await connection.close()
        if stored != self.acked:
            raise RuntimeError(f"{self.acked} signals were acknowledged, {stored} are stored")


class Ceiling(NamedTuple):
    """A database without a server: a superuser's connection to it, and a model in it."""

    dsn: str
    connection: asyncpg.Connection
    model_id: str


class Stage:
    """The cluster, the scale and the figures that all sections share."""

    def __init__(self, cluster: Cluster, folder: Path, scale: Scale) -> None:
        self.cluster, self.folder, self.scale = cluster, folder, scale
        self.figures = Figures()
        self._numbers = itertools.count(1)

    async def database(self, cluster: Cluster | None = None) -> str:
        """A new database with the schema of the service."""
        cluster, name = cluster or self.cluster, f"bench_{next(self._numbers)}"
        connection = await asyncpg.connect(cluster.url())
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        migrations.up(cluster.url(name))
        return cluster.url(name)

    @asynccontextmanager
    async def exchange(self, dsn: str = "", settings: Mapping[str, str] | None = None) -> AsyncIterator[Exchange]:
        """A server process, on a new database unless there is one."""
        dsn = dsn or await self.database()
        log = self.folder / f"server-{next(self._numbers)}.log"
        async with serving(dsn, log, settings) as server, connect(server.target) as channel:
            request = models_pb2.RegisterModelRequest(model_name="bench", version="1", model_type="sparse_spectrum")
            response = await ModelServiceStub(channel).RegisterModel(request, timeout=10)
            yield Exchange(server.target, server.pid, dsn, response.model.model_id, SignalServiceStub(channel))

    @asynccontextmanager
    async def ceiling(self) -> AsyncIterator[Ceiling]:
        """A new database that no server looks at."""
        dsn = await self.database()
        settings = {"search_path": "ai_trading", "timezone": "UTC", "jit": "off"}
        connection = await asyncpg.connect(dsn, server_settings=settings)
        try:
            yield Ceiling(dsn, connection, await connection.fetchval(A_MODEL, "bench"))
        finally:
            await connection.close()
