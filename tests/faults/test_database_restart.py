"""The database goes away and comes back: the server says so, and its streams go on as if nothing had been."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import asyncpg
import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2
from tests.cluster import Cluster
from tests.faults.bare import stubs_of
from tests.faults.database import administrator, connections, head
from tests.faults.history import Ack, Entry, check_acks, check_delivery, check_log, entry_of, the_log
from tests.load import publish_steadily
from tests.server import ServerProcess, serving
from tests.signals import a_signal, an_active_model, reason

if TYPE_CHECKING:
    from ai_grpc.v1.signals_pb2_grpc import SignalServiceAsyncStub

# Two streams read from the database whatever is not the very last event.
SETTINGS: Final = {
    "AI_GRPC_RING_EVENTS": "1",
    "AI_GRPC_SWEEP_INTERVAL": "0.1",
    "AI_GRPC_UPKEEP_INTERVAL": "0.1",
    "AI_GRPC_LOG_LEVEL": "WARNING",
}
PURPOSES: Final = ("append", "tail", "notify", "sweep", "calls", "reads", "replay", "upkeep")


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_streams_outlive_a_restart_of_the_database(
    mode: Literal["fast", "immediate"], cluster: Cluster, tmp_path: Path
) -> None:
    async with _followed_server(cluster.url(), tmp_path) as (server, stub, model_id), asyncio.timeout(60):
        async with grpc.aio.insecure_channel(server.target) as channel:
            states = aiter(HealthStub(channel).Watch(HealthCheckRequest(service="ai_grpc.v1.SignalService")))
            assert (await anext(states)).status == HealthCheckResponse.SERVING
            for _ in range(10):
                await stub.PublishSignals(_request(model_id), timeout=5)
            await asyncio.to_thread(cluster.stop, mode)
            async with asyncio.timeout(5):
                assert (await anext(states)).status == HealthCheckResponse.NOT_SERVING
                for _ in range(10):
                    await _is_unavailable(stub.PublishSignals(_request(model_id)))
                    await _is_unavailable(stub.ListSignals(pb.ListSignalsRequest()))
                    await _is_unavailable(stub.GetSignal(pb.GetSignalRequest(signal_id=str(uuid.uuid4()))))
                # Nothing that this one is to be sent can be read now.
                late = aiter(stub.SubscribeSignals(_earliest()))
                assert (await anext(late)).HasField("started")
            await asyncio.to_thread(cluster.start)
            async with asyncio.timeout(10):
                assert (await anext(states)).status == HealthCheckResponse.SERVING
        last = await _published(stub, model_id)
        events = (event async for message in late for event in message.batch.events)
        assert [(await anext(events)).sequence for _ in range(last)] == list(range(1, last + 1))


async def test_all_connections_to_the_database_may_be_terminated(database: str, tmp_path: Path) -> None:
    async with (
        _followed_server(database, tmp_path) as (_, stub, model_id),
        administrator(database) as admin,
        asyncio.timeout(60),
        asyncio.TaskGroup() as callers,
    ):
        calling = [callers.create_task(_call_without_end(stub, model_id)) for _ in range(8)]
        # As another replica does: a replica that is alone notifies nobody, and needs no connection for it.
        await admin.execute("SELECT pg_advisory_lock_shared(4711001, 2)")
        for purpose in PURPOSES * 4:
            terminated = await _connections(admin, purpose, set())
            await admin.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::INTEGER[]) AS pid", terminated)
            await _connections(admin, purpose, terminated)
        for caller in calling:
            caller.cancel()


@asynccontextmanager
async def _followed_server(
    database: str, folder: Path
) -> AsyncIterator[tuple[ServerProcess, SignalServiceAsyncStub, str]]:
    """A server, a stub and a model. Meanwhile somebody publishes, and two streams must be given everything."""
    acks: list[Ack] = []
    followed: list[list[Entry]] = [[], []]
    stop, end = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with serving(database, folder / "log", SETTINGS) as server, stubs_of([server] * 2) as (stub, other):
        async with grpc.aio.insecure_channel(server.target) as channel:
            model_id = await an_active_model(channel)
        async with asyncio.TaskGroup() as tasks:
            for entries in followed:
                tasks.create_task(_read_one_stream(other, entries, end))
            publishing = tasks.create_task(publish_steadily([server.target], [model_id], 250, stop, acks))
            yield server, stub, model_id
            stop.set()
            await publishing
            async with administrator(database) as admin:
                end.set_result(await head(admin))
    log = await the_log(database)
    check_log(log)
    check_acks(acks, log)
    for entries in followed:
        check_delivery(entries, log)


async def _read_one_stream(stub: SignalServiceAsyncStub, entries: list[Entry], end: asyncio.Future[int]) -> None:
    """Reads one stream, which must not break, from the first event up to the sequence that `end` tells."""
    call = stub.SubscribeSignals(_earliest())
    async for message in call:
        entries += map(entry_of, message.batch.events)
        if end.done() and message.position.sequence >= end.result():
            break
    call.cancel()


async def _is_unavailable(call: Awaitable[Any]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason(caught.value) == "DATABASE_UNAVAILABLE"


async def _published(stub: SignalServiceAsyncStub, model_id: str) -> int:
    """The sequence of a signal; one that came while the server's own attempt to connect was refused is so, too."""
    while True:
        try:
            return (await stub.PublishSignals(_request(model_id))).results[0].sequence
        except grpc.aio.AioRpcError as error:
            if reason(error) != "DATABASE_UNAVAILABLE":
                raise


async def _connections(admin: asyncpg.Connection, purpose: str, others: set[int]) -> set[int]:
    """The processes of the connections for a purpose, once there are others than these."""
    async with asyncio.timeout(10):
        while True:
            if found := await connections(admin, purpose) - others:
                return found
            await asyncio.sleep(0.02)


async def _call_without_end(stub: SignalServiceAsyncStub, model_id: str) -> None:
    """Calls whose connection was terminated are told so; there is nothing else that may happen to them."""
    unknown = pb.GetSignalRequest(signal_id=str(uuid.uuid4()))
    while True:
        for call in (
            stub.PublishSignals(_request(model_id)),
            stub.ListSignals(pb.ListSignalsRequest()),
            stub.GetSignal(unknown),
        ):
            try:
                await call
            except grpc.aio.AioRpcError as error:
                if reason(error) not in ("DATABASE_UNAVAILABLE", "SIGNAL_NOT_FOUND"):
                    raise


def _earliest() -> pb.SubscribeSignalsRequest:
    request = pb.SubscribeSignalsRequest(earliest=streams_pb2.Earliest())
    request.heartbeat_interval.FromMilliseconds(200)
    return request


def _request(model_id: str) -> pb.PublishSignalsRequest:
    return pb.PublishSignalsRequest(signals=[a_signal(model_id)])
