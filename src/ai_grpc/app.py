"""The composition root: builds the service, starts it in order, stops it in reverse."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import asyncpg
import grpc
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection

from ai_grpc import db, migrations
from ai_grpc.dsn import normalise
from ai_grpc.embedded import database
from ai_grpc.errors import ConfigurationError
from ai_grpc.exchange.events import Event
from ai_grpc.exchange.feed import Feed
from ai_grpc.exchange.log import LogReader
from ai_grpc.exchange.notifier import Notifier
from ai_grpc.exchange.subscribing import Subscriptions
from ai_grpc.exchange.sweeper import Sweeper
from ai_grpc.exchange.tail import Tail
from ai_grpc.exchange.writer import SignalWriter
from ai_grpc.health import Health
from ai_grpc.interceptors import GuardedServer
from ai_grpc.logs import AccessLog
from ai_grpc.services.models import ModelServicer
from ai_grpc.services.signals import SignalServicer
from ai_grpc.settings import MIB, Settings
from ai_grpc.v1 import models_pb2, signals_pb2
from ai_grpc.v1.models_pb2_grpc import add_ModelServiceServicer_to_server
from ai_grpc.v1.signals_pb2_grpc import add_SignalServiceServicer_to_server

SERVICES: Final = [
    signals_pb2.DESCRIPTOR.services_by_name["SignalService"].full_name,
    models_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
]
HEALTH: Final = "grpc.health.v1.Health"
MAX_MESSAGE: Final = 4 * MIB
MAX_PENDING: Final = 20_000

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
        on_serving()
        await stop.wait()
        logger.info("draining")


@asynccontextmanager
async def running(settings: Settings, dsn: str, worker: int | None = None) -> AsyncIterator[int]:
    """The whole service on a database that has its schema; yields its port."""
    async with AsyncExitStack() as stack:
        await _check_schema(dsn)
        service = await _build(settings, dsn, worker, stack)
        port = _bind(service.server, settings)
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
    feed: Feed
    writer: SignalWriter
    loops: Sequence[Loop]

    async def drain(self, grace: float) -> None:
        """Says goodbye to every stream, takes nothing more, and answers what was taken, within `grace` seconds."""
        self.health.drain()
        self.feed.close()
        self.writer.close()
        await self.server.stop(grace)


async def _build(settings: Settings, dsn: str, worker: int | None, stack: AsyncExitStack) -> Service:
    async def pool(url: str, purpose: str, size: int, *, keyed: bool = False) -> asyncpg.Pool:
        opened = await db.create_pool(url, settings, purpose, size, keyed=keyed)
        stack.push_async_callback(db.close_pool, opened)
        return opened

    calls = await pool(dsn, "calls", settings.calls_pool_size)
    replay = await pool(dsn, "replay", settings.replay_pool_size, keyed=True)
    read_url = settings.read_database_url
    reads = await pool(normalise(read_url.get_secret_value()), "reads", settings.read_pool_size) if read_url else calls

    tail_url = settings.tail_database_url
    tail_dsn = normalise(tail_url.get_secret_value()) if tail_url else dsn
    log = LogReader(replay)
    feed = Feed(
        log, ring_events=settings.ring_events, ring_bytes=settings.ring_bytes, lifetime=settings.stream_lifetime
    )
    server_id = _server_id(worker)
    health = Health(SERVICES, server_id)
    tail = Tail(db.Line(tail_dsn, settings, "tail"), feed, health.on_database, poll_interval=settings.poll_interval)
    await tail.begin()
    notifier = Notifier(db.Line(dsn, settings, "notify"))

    def on_change(head: int) -> None:
        tail.wake()
        notifier.wake(head)

    def on_commit(events: list[Event]) -> None:
        tail.offer(events)
        notifier.wake(events[-1].sequence)

    writer = SignalWriter(
        db.Line(dsn, settings, "append"),
        on_commit,
        batch_rows=settings.append_batch_rows,
        queue_rows=settings.append_queue_rows,
        queue_bytes=settings.append_queue_bytes,
    )
    sweeper = Sweeper(db.Line(dsn, settings, "sweep"), on_change, interval=settings.sweep_interval)
    subscriptions = Subscriptions(feed, log, limit=settings.max_subscriptions, server_id=server_id)

    server = grpc.aio.server(options=_options(settings))
    access_log = AccessLog(worker)
    stack.callback(access_log.flush)
    guarded: Any = GuardedServer(
        server, access_log, max_calls=settings.max_concurrent_calls, timeout=settings.call_timeout
    )
    add_SignalServiceServicer_to_server(SignalServicer(calls, reads, writer, feed, subscriptions, on_change), guarded)
    add_ModelServiceServicer_to_server(ModelServicer(calls, reads), guarded)
    add_HealthServicer_to_server(health, server)
    reflection.enable_server_reflection([*SERVICES, HEALTH, reflection.SERVICE_NAME], server)
    return Service(server, health, feed, writer, [writer, tail, notifier, sweeper])


def _server_id(worker: int | None) -> str:
    """Names this process, in the log and to clients."""
    place = f"{socket.gethostname()}-{os.getpid()}"
    return place if worker is None else f"{place}-worker-{worker}"


def _options(settings: Settings) -> list[tuple[str, Any]]:
    lifetime = int(settings.stream_lifetime * 1000)
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.max_send_message_length", -1),
        # Above the first of these, 1000 by default, gRPC cancels calls before anybody can refuse them and say why.
        ("grpc.server.max_pending_requests", MAX_PENDING),
        ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING),
        # Two servers on one port would split the calls between them unseen; workers are meant to.
        ("grpc.so_reuseport", int(settings.workers > 1)),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        # The keepalive timeout alone does not bound the detection of a dead peer: the ping has its own, of a minute.
        ("grpc.http2.ping_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_pings_without_data", 0),
        # Streams end themselves after their lifetime; this reaps those whose client has stopped reading.
        ("grpc.max_connection_age_ms", lifetime),
        ("grpc.max_connection_age_grace_ms", lifetime + 60_000),
    ]


def _bind(server: grpc.aio.Server, settings: Settings) -> int:
    address = f"{settings.host}:{settings.port}"
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise ConfigurationError(
            f"{address} cannot be listened on: is the port taken? Choose another --port"
        ) from error
    return int(port)


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
