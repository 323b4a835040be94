"""The composition root: builds the service, starts it in order, stops it in reverse."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import asyncpg
import grpc

from ai_grpc import db, migrations
from ai_grpc.dsn import normalise
from ai_grpc.embedded import database
from ai_grpc.errors import ConfigurationError
from ai_grpc.exchange.entries import Log
from ai_grpc.exchange.feed import Feed
from ai_grpc.exchange.follower import Follower
from ai_grpc.exchange.log import SIGNALS
from ai_grpc.exchange.subscribing import Subscriptions
from ai_grpc.exchange.sweeper import Sweeper
from ai_grpc.exchange.topics import TOPICS, Topics
from ai_grpc.exchange.writer import SignalWriter
from ai_grpc.health import Health
from ai_grpc.logs import AccessLog
from ai_grpc.records import Records
from ai_grpc.server import SERVICES, bind, create_server
from ai_grpc.services.anomalies import AnomalyServicer
from ai_grpc.services.features import FeatureServicer
from ai_grpc.services.models import ModelServicer
from ai_grpc.services.optimization import OptimizationServicer
from ai_grpc.services.performance import PerformanceServicer
from ai_grpc.services.signals import SignalServicer
from ai_grpc.services.spectra import SpectrumServicer
from ai_grpc.services.training import TrainingServicer
from ai_grpc.settings import MIB, Settings
from ai_grpc.upkeep import Upkeep

# Of what is not signals there is little.
TOPIC_EVENTS = 4096
TOPIC_BYTES = 16 * MIB

logger = logging.getLogger(__name__)


async def serve(
    settings: Settings, *, worker: int | None = None, on_serving: Callable[[], None] = lambda: None
) -> None:
    """Serves until SIGTERM or SIGINT, then drains. Raises ConfigurationError when it cannot start.

    Of several processes on one port, each has a number as a worker.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with database(settings) as dsn, running(settings, dsn, worker) as port:
        logger.info("serving on %s:%d as %s", settings.host, port, _server_id(worker))
        _look_for_garbage_less_often()
        on_serving()
        await stop.wait()
        logger.info("draining")


@asynccontextmanager
async def running(settings: Settings, dsn: str, worker: int | None = None) -> AsyncIterator[int]:
    """The whole service on a database that has its schema; yields its port."""
    async with AsyncExitStack() as stack:
        await _check_schema(dsn)
        service = await _build(settings, dsn, worker, stack)
        port = bind(service.server, settings)
        try:
            async with asyncio.TaskGroup() as tasks:
                loops = [tasks.create_task(_watched(loop), name=type(loop).__name__) for loop in service.loops]
                await service.server.start()
                try:
                    yield port
                finally:
                    await service.drain(settings.drain_grace)
                    for loop in loops:
                        loop.cancel()
        except BaseExceptionGroup as group:
            # A loop that broke ends the process: it must not serve what it can no longer keep.
            raise group.exceptions[0] from group


class Loop(Protocol):
    """Something that works for as long as the process lives."""

    async def run(self) -> None:
        """Works until it is cancelled or done."""


async def _watched(loop: Loop) -> None:
    try:
        await loop.run()
    except Exception:
        # Now: what stops the process is raised only after the drain.
        logger.critical("%s broke; the process stops", type(loop).__name__, exc_info=True)
        raise


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that start and stop."""

    server: grpc.aio.Server
    health: Health
    closing: asyncio.Event
    feeds: Sequence[Feed]
    writer: SignalWriter
    loops: Sequence[Loop]

    async def drain(self, grace: float) -> None:
        """Says goodbye to every stream, takes nothing more, and answers what was taken, within `grace` seconds."""
        self.health.drain()
        self.closing.set()
        for feed in self.feeds:
            feed.close()
        self.writer.close()
        # A client that does not read is cut off; the rest of the time is for the connections to the database.
        await self.server.stop(0.9 * grace)


async def _build(settings: Settings, dsn: str, worker: int | None, stack: AsyncExitStack) -> Service:
    async def pool(url: str, purpose: str, size: int, planning: Mapping[str, str] = db.AS_IT_COMES) -> asyncpg.Pool:
        opened = await db.create_pool(url, settings, purpose, size, planning)
        stack.push_async_callback(db.close_pool, opened)
        return opened

    calls = await pool(dsn, "calls", settings.calls_pool_size)
    replay = await pool(dsn, "replay", settings.replay_pool_size, db.BY_KEY)
    read_url = settings.read_database_url
    read_dsn = normalise(read_url.get_secret_value()) if read_url else dsn
    reads = await pool(read_dsn, "reads", settings.read_pool_size, db.BY_ARGUMENTS)

    tail_url = settings.tail_database_url
    tail_dsn = normalise(tail_url.get_secret_value()) if tail_url else dsn
    server_id = _server_id(worker)
    health = Health(SERVICES, server_id)

    def follower(
        log: Log, tail: str, notify: str, on_database: Callable[[bool], None], events: int, size: int
    ) -> Follower:
        return Follower(
            log,
            replay,
            db.Line(tail_dsn, settings, tail),
            db.Line(dsn, settings, notify),
            on_database,
            ring_events=events,
            ring_bytes=size,
            lifetime=settings.stream_lifetime,
            poll_interval=settings.poll_interval,
        )

    signal_log = follower(SIGNALS, "tail", "notify", health.on_database, settings.ring_events, settings.ring_bytes)
    topic_log = follower(TOPICS, "topics", "topics notify", lambda up: None, TOPIC_EVENTS, TOPIC_BYTES)
    for log in (signal_log, topic_log):
        await log.tail.begin()
    writer = SignalWriter(
        db.Line(dsn, settings, "append"),
        signal_log.offer,
        batch_rows=settings.append_batch_rows,
        queue_rows=settings.append_queue_rows,
        queue_bytes=settings.append_queue_bytes,
    )
    sweeper = Sweeper(db.Line(dsn, settings, "sweep"), signal_log.changed, interval=settings.sweep_interval)
    subscriptions = Subscriptions(limit=settings.max_subscriptions, server_id=server_id)
    topics = Topics(topic_log, subscriptions)

    closing = asyncio.Event()

    def records(stem: str) -> Records:
        return Records(stem, calls, reads)

    servicers = {
        "SignalService": SignalServicer(records("signals"), writer, signal_log, subscriptions),
        "ModelService": ModelServicer(records("models")),
        "TrainingService": TrainingServicer(records("training")),
        "OptimizationService": OptimizationServicer(records("optimization"), topics),
        "FeatureService": FeatureServicer(records("features"), closing),
        "AnomalyService": AnomalyServicer(records("anomalies"), topics),
        "SpectrumService": SpectrumServicer(records("spectra")),
        "PerformanceService": PerformanceServicer(records("performance"), topics),
    }
    access_log = AccessLog(worker)
    stack.callback(access_log.flush)
    server = create_server(settings, access_log, servicers, health, closing)
    loops = [
        writer,
        sweeper,
        Upkeep(db.Line(dsn, settings, "upkeep"), interval=settings.upkeep_interval, given=settings.model_dump()),
        *(loop for log in (signal_log, topic_log) for loop in (log.tail, log.notifier)),
    ]
    return Service(server, health, closing, [signal_log.feed, topic_log.feed], writer, loops)


def _look_for_garbage_less_often() -> None:
    """What has been made so far lives as long as the process; and of what calls make, all but errors dies by itself."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 10, 10)


def _server_id(worker: int | None) -> str:
    """Names this process, in the log and to clients."""
    place = f"{socket.gethostname()}-{os.getpid()}"
    return place if worker is None else f"{place}-worker-{worker}"


async def _check_schema(dsn: str) -> None:
    # Before the schema is there, its role may not be either.
    connection = await asyncpg.connect(dsn, timeout=db.CONNECT_TIMEOUT)
    try:
        status = await migrations.status(connection)
    finally:
        await connection.close(timeout=db.CONNECT_TIMEOUT)
    if status.unknown:
        raise ConfigurationError(
            f"the schema is newer than this program (it has migration {status.unknown[-1]}): install a newer ai_grpc"
        )
    if status.pending:
        raise ConfigurationError("migrations are pending: run `ai-grpc migrate up`")
