"""What PostgreSQL does to answer a call: the plans of the queries that the service sends for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import asyncpg

from ai_grpc import db
from ai_grpc.exchange.follower import Follower
from ai_grpc.exchange.subscribing import Subscriptions
from ai_grpc.exchange.topics import Topics
from ai_grpc.exchange.writer import SignalWriter
from ai_grpc.records import Records
from ai_grpc.services.anomalies import AnomalyServicer
from ai_grpc.services.features import FeatureServicer
from ai_grpc.services.models import ModelServicer
from ai_grpc.services.optimization import OptimizationServicer
from ai_grpc.services.performance import PerformanceServicer
from ai_grpc.services.signals import SignalServicer
from ai_grpc.services.spectra import SpectrumServicer
from ai_grpc.services.training import TrainingServicer
from tests.reads import Read
from tests.signals import chosen

Query = tuple[str, Sequence[object]]


class Recorder:
    """A pool of one connection, which keeps the queries that it was asked and their arguments."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self.asked: list[Query] = []

    async def acquire(self, *, timeout: float) -> Recorder:  # noqa: ASYNC109 - as a pool has it
        """As of a pool."""
        return self

    async def release(self, connection: Recorder) -> None:
        """As of a pool."""

    def transaction(self, *, readonly: bool) -> Any:
        """As of a connection."""
        return self._connection.transaction(readonly=readonly)

    def cursor(self, query: str, *arguments: object) -> Any:
        """As of a connection."""
        self.asked.append((query, arguments))
        return self._connection.cursor(query, *arguments)

    async def fetch(self, query: str, *arguments: object) -> list[Any]:
        """As of a pool."""
        self.asked.append((query, arguments))
        return list(await self._connection.fetch(query, *arguments))

    async def fetchrow(self, query: str, *arguments: object) -> Any:
        """As of a pool."""
        self.asked.append((query, arguments))
        return await self._connection.fetchrow(query, *arguments)


async def connect(database: str, planning: Mapping[str, str] = db.BY_ARGUMENTS) -> asyncpg.Connection:
    """A connection that plans as those of the service do that read lists, or others of it."""
    return await db.connect(database, chosen(), "plans", planning)


async def queries(connection: asyncpg.Connection, read: Read) -> list[Query]:
    """The queries that the service sends to answer a call, or the first message of it if there are many."""
    recorder = Recorder(connection)
    service, _, method = read.method.partition(".")
    call = getattr(_servicers(cast(asyncpg.Pool, recorder))[service], method)(read.request, None)
    await (anext(call) if hasattr(call, "__anext__") else call)
    return recorder.asked


class Plan:
    """The nodes of a plan that was carried out."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.nodes = list(_nodes(root["Plan"]))
        self.milliseconds: float = root["Execution Time"]
        self.planning: float = root["Planning Time"]

    def indexes(self) -> set[str]:
        """The indexes that it uses."""
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}

    def scanned(self) -> set[str]:
        """The tables of which it reads all rows."""
        return {node["Relation Name"] for node in self.nodes if node["Node Type"] == "Seq Scan" and _ran(node)}

    def sorted(self) -> float:
        """The most rows that it sorts."""
        sorts = [node for node in self.nodes if node["Node Type"] in ("Sort", "Incremental Sort") and _ran(node)]
        return max((sum(_rows(child) for child in sort["Plans"]) for sort in sorts), default=0)

    def read(self) -> float:
        """The rows that it reads from tables and indexes, those that it does not take included."""
        return sum(_rows(node) + _refused(node) for node in self.nodes if "Relation Name" in node)

    def shape(self) -> str:
        """The kinds of its nodes, outermost first, with tables and indexes; repetitions once."""
        return " > ".join(dict.fromkeys(_words(node) for node in self.nodes if _ran(node)))


async def plan(connection: asyncpg.Connection, query: Query) -> Plan:
    """The plan of a query, carried out with the arguments."""
    sql, arguments = query
    text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *arguments)
    return Plan(json.loads(text)[0])


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _ran(node: dict[str, Any]) -> bool:
    return bool(node["Actual Loops"])


def _rows(node: dict[str, Any]) -> float:
    return float(node["Actual Rows"] * node["Actual Loops"])


def _refused(node: dict[str, Any]) -> float:
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return float(removed * node["Actual Loops"])


def _words(node: dict[str, Any]) -> str:
    place = node.get("Index Name") or node.get("Relation Name", "")
    return f"{node['Node Type']} {place}".strip()


def _servicers(pool: asyncpg.Pool) -> dict[str, object]:
    """Those who answer, with a database and nothing else."""
    topics = cast(Topics, SimpleNamespace(changed=lambda: None))
    log = cast(Follower, SimpleNamespace(feed=None, reader=None))

    def records(stem: str) -> Records:
        return Records(stem, pool, pool)

    return {
        "SignalService": SignalServicer(records("signals"), cast(SignalWriter, None), log, cast(Subscriptions, None)),
        "ModelService": ModelServicer(records("models")),
        "TrainingService": TrainingServicer(records("training")),
        "OptimizationService": OptimizationServicer(records("optimization"), topics),
        "FeatureService": FeatureServicer(records("features"), asyncio.Event()),
        "AnomalyService": AnomalyServicer(records("anomalies"), topics),
        "SpectrumService": SpectrumServicer(records("spectra")),
        "PerformanceService": PerformanceServicer(records("performance"), topics),
    }
