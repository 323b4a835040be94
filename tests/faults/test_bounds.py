"""Connections, calls and waiting signals are bounded: what is over is told when to come back, the rest is done."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import grpc

from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2
from tests.faults.bare import stubs_of
from tests.faults.database import PATIENT, administrator, most_connections, no_appends, until_waiting
from tests.faults.history import check_log, the_log
from tests.server import serving
from tests.signals import a_signal, an_active_model, details, refusal

if TYPE_CHECKING:
    from ai_grpc.v1.signals_pb2_grpc import SignalServiceAsyncStub

CALLS: Final = 2000
MOST_CALLS: Final = 400
MOST_WAITING: Final = 1000
MOST_CONNECTIONS: Final = Counter(append=1, tail=1, notify=1, topics=1, sweep=1, upkeep=1, calls=3, reads=2, replay=2)
SETTINGS: Final = {
    **PATIENT,
    "AI_GRPC_MAX_CONCURRENT_CALLS": str(MOST_CALLS),
    "AI_GRPC_APPEND_QUEUE_ROWS": str(MOST_WAITING),
    "AI_GRPC_CALLS_POOL_SIZE": "3",
    "AI_GRPC_READ_POOL_SIZE": "2",
    "AI_GRPC_REPLAY_POOL_SIZE": "2",
    # Nearly all that a subscriber reads comes from the database.
    "AI_GRPC_RING_EVENTS": "1",
    "AI_GRPC_LOG_LEVEL": "WARNING",
}


async def test_any_number_of_calls_hold_no_more_connections_than_are_set(database: str, tmp_path: Path) -> None:
    async with _exchange(database, tmp_path) as (stubs, model_id, admin):
        known = [a_signal(model_id) for _ in range(MOST_WAITING)]
        await _publish(stubs[0], known)
        async with most_connections(admin) as most:
            outcomes = await asyncio.gather(
                *(_outcome(_any_call(random.choice(stubs), model_id, known)) for _ in range(CALLS)),
                *(_outcome(_read(random.choice(stubs), len(known))) for _ in range(20)),
            )
        assert most <= MOST_CONNECTIONS
        assert most["calls"] == MOST_CONNECTIONS["calls"]
        assert most["replay"] == MOST_CONNECTIONS["replay"]
        assert set(outcomes) <= {"OK", f"OVERLOADED {MOST_CALLS}", "OVERLOADED connections"}
    check_log(await the_log(database))


async def test_calls_over_the_bound_are_refused_and_the_others_wait(database: str, tmp_path: Path) -> None:
    async with _exchange(database, tmp_path) as (stubs, model_id, admin):
        async with no_appends(admin):
            calls = [_start(_publish(random.choice(stubs), [a_signal(model_id)])) for _ in range(MOST_CALLS + 100)]
            for refused in islice(asyncio.as_completed(calls), 100):
                assert await refused == f"OVERLOADED {MOST_CALLS}"
            read = stubs[0].GetSignal(pb.GetSignalRequest(signal_id=a_signal(model_id).signal_id), timeout=10)
            assert await _outcome(read) == f"OVERLOADED {MOST_CALLS}"
        outcomes = await asyncio.gather(*calls)
    assert outcomes.count("OK") == MOST_CALLS
    assert len(await the_log(database)) == MOST_CALLS


async def test_who_waits_too_long_for_a_connection_is_told_when_to_come_back(database: str, tmp_path: Path) -> None:
    async with _exchange(database, tmp_path) as (stubs, model_id, admin):
        known = [a_signal(model_id) for _ in range(MOST_CONNECTIONS["calls"])]
        await _publish(stubs[0], known)
        async with no_appends(admin):
            # Each holds a connection while it waits for the lock.
            ends = [_start(_cancel(stubs[0], signal)) for signal in known]
            await until_waiting(admin, "calls", len(known))
            read = stubs[1].GetSignal(pb.GetSignalRequest(signal_id=known[0].signal_id), timeout=20)
            assert await _outcome(read) == "OVERLOADED connections"
        assert await asyncio.gather(*ends) == ["OK"] * len(known)


async def test_signals_over_the_bound_are_refused_and_the_others_wait(database: str, tmp_path: Path) -> None:
    async with _exchange(database, tmp_path) as (stubs, model_id, admin):
        stream = stubs[1].PublishSignalStream()
        message = pb.PublishSignalStreamRequest(signals=[a_signal(model_id)])
        async with no_appends(admin):
            in_flight = _start(_publish(stubs[0], [a_signal(model_id)]))
            await until_waiting(admin, "append", 1)
            # There is room for one of these.
            large = [_start(_publish(stubs[0], [a_signal(model_id) for _ in range(MOST_WAITING)])) for _ in range(2)]
            done, (waiting,) = await asyncio.wait(large, return_when=asyncio.FIRST_COMPLETED)
            assert done.pop().result() == f"OVERLOADED {MOST_WAITING} signals"
            await stream.write(message)
            error = await refusal(stream.read())
            assert (error.code(), details(error).reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert details(error).retry_delay
        assert {await in_flight, await waiting} == {"OK"}
        stream = stubs[1].PublishSignalStream()
        await stream.write(message)
        response = await stream.read()
        assert isinstance(response, pb.PublishSignalStreamResponse)
        assert response.results[0].sequence == MOST_WAITING + 2


@asynccontextmanager
async def _exchange(
    database: str, folder: Path
) -> AsyncIterator[tuple[list[SignalServiceAsyncStub], str, asyncpg.Connection]]:
    """A server with narrow bounds: some stubs, a model, and its database."""
    async with (
        serving(database, folder / "log", SETTINGS) as server,
        stubs_of([server] * 4) as stubs,
        grpc.aio.insecure_channel(server.target) as channel,
        administrator(database) as admin,
        asyncio.timeout(60),
    ):
        yield stubs, await an_active_model(channel), admin


def _start(call: Awaitable[Any]) -> asyncio.Task[str]:
    return asyncio.create_task(_outcome(call))


async def _outcome(call: Awaitable[Any]) -> str:
    """OK, or OVERLOADED and by what; a refusal says when to come back."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
        found = details(error)
        return f"{found.reason} {found.metadata.get('limit', 'connections')}" if found.retry_delay else "no RetryInfo"
    return "OK"


async def _publish(stub: SignalServiceAsyncStub, signals: Sequence[pb.Signal]) -> None:
    await stub.PublishSignals(pb.PublishSignalsRequest(signals=signals), timeout=40)


async def _any_call(stub: SignalServiceAsyncStub, model_id: str, known: Sequence[pb.Signal]) -> None:
    match random.randrange(4):
        case 0:
            await _publish(stub, [a_signal(model_id)])
        case 1:
            await stub.GetSignal(pb.GetSignalRequest(signal_id=random.choice(known).signal_id), timeout=40)
        case 2:
            await stub.ListSignals(pb.ListSignalsRequest(model_ids=[model_id], page_size=20), timeout=40)
        case 3:
            # No two of these meet at one signal.
            signal = a_signal(model_id)
            await _publish(stub, [signal])
            state = pb.SIGNAL_STATE_EXECUTED
            request = pb.UpdateSignalStateRequest(signal_id=signal.signal_id, state=state)
            await stub.UpdateSignalState(request, timeout=40)


async def _cancel(stub: SignalServiceAsyncStub, signal: pb.Signal) -> None:
    request = pb.UpdateSignalStateRequest(signal_id=signal.signal_id, state=pb.SIGNAL_STATE_CANCELLED)
    await stub.UpdateSignalState(request, timeout=40)


async def _read(stub: SignalServiceAsyncStub, count: int) -> None:
    """Reads so many events, from the first one on."""
    call = stub.SubscribeSignals(pb.SubscribeSignalsRequest(earliest=streams_pb2.Earliest()))
    async for message in call:
        count -= len(message.batch.events)
        if count <= 0:
            break
    call.cancel()
