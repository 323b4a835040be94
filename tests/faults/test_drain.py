"""A server that is told to stop says goodbye, answers what it has taken, and is gone within its grace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from ai_grpc.v1 import features_pb2, streams_pb2
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.features_pb2_grpc import FeatureServiceStub
from tests.faults.bare import stubs_of
from tests.faults.database import PATIENT, administrator, no_appends, until_waiting
from tests.faults.history import check_log, the_log
from tests.load import load_on
from tests.server import serving
from tests.signals import a_signal, an_active_model, reason, refusal

if TYPE_CHECKING:
    from ai_grpc.v1.signals_pb2_grpc import SignalServiceAsyncStub

Message = TypeVar("Message")
SETTINGS: Final = {**PATIENT, "AI_GRPC_LOG_LEVEL": "WARNING"}
GRACE: Final = 10
FEATURES: Final = """
INSERT INTO ai_trading.feature_data (symbol, timestamp, feature_set_name, features, raw_data_hash)
SELECT 'AAPL', '2026-01-01'::timestamptz + n * INTERVAL '1 minute', 'large',
  jsonb_build_object('text', repeat('x', 60000)), repeat('0', 64)
FROM generate_series(0, 999) AS n
"""


async def test_a_long_read_of_features_is_told_that_the_server_ends(database: str, tmp_path: Path) -> None:
    async with (
        serving(database, tmp_path / "log", SETTINGS) as server,
        grpc.aio.insecure_channel(server.target) as channel,
        administrator(database) as admin,
        asyncio.timeout(30),
    ):
        # More than fits between a server and a client that does not read.
        await admin.execute(FEATURES)
        request = features_pb2.ReadFeaturesRequest(feature_set_name="large")
        request.start_time.FromJsonString("2026-01-01T00:00:00Z")
        request.end_time.FromJsonString("2027-01-01T00:00:00Z")
        reading = aiter(FeatureServiceStub(channel).ReadFeatures(request))
        assert (await anext(reading)).vectors
        ending = asyncio.create_task(server.terminate())
        error = await refusal(_all(reading))
        assert (error.code(), reason(error)) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert await ending == 0


async def _all(reading: AsyncIterable[object]) -> None:
    async for _ in reading:
        # Slower than the server can write, so that it is in the middle.
        await asyncio.sleep(0.01)


async def test_everyone_is_answered_before_the_server_ends(database: str, tmp_path: Path) -> None:
    async with (
        serving(database, tmp_path / "log", SETTINGS) as server,
        stubs_of([server]) as (stub,),
        grpc.aio.insecure_channel(server.target) as channel,
        administrator(database) as admin,
        asyncio.timeout(30),
    ):
        model_id = await an_active_model(channel)
        states = aiter(HealthStub(channel).Watch(HealthCheckRequest()))
        assert (await anext(states)).status == HealthCheckResponse.SERVING
        known = a_signal(model_id)
        await stub.PublishSignals(_request(known))
        streams = [asyncio.create_task(_last_position(stub)) for _ in range(5)]
        async with no_appends(admin):
            calls = [asyncio.ensure_future(stub.PublishSignals(_request(a_signal(model_id)))) for _ in range(50)]
            lane = asyncio.create_task(_answers(stub, a_signal(model_id)))
            await until_waiting(admin, "append", 1)
            # When this is answered, the server has taken what was sent before.
            await stub.GetSignal(pb.GetSignalRequest(signal_id=known.signal_id))
            started = time.monotonic()
            ending = asyncio.create_task(server.terminate())
            assert (await anext(states)).status == HealthCheckResponse.NOT_SERVING
            assert await asyncio.gather(*streams) == [1] * 5
        sequences = [response.results[0].sequence for response in await asyncio.gather(*calls)] + await lane
        assert await ending == 0
        assert time.monotonic() - started < GRACE / 2
    log = await the_log(database)
    check_log(log)
    assert sorted(sequences) == [entry.sequence for entry in log[1:]] == [*range(2, 53)]


async def test_clients_go_on_with_another_server_when_one_after_the_other_is_replaced(
    database: str, tmp_path: Path
) -> None:
    async with (
        serving(database, tmp_path / "0.log", SETTINGS) as first,
        serving(database, tmp_path / "1.log", SETTINGS) as second,
        asyncio.timeout(120),
        load_on(database, [first.target, second.target], [pb.SignalFilter()] * 2, publishers=3, per_second=300) as acks,
    ):
        for server in (first, second) * 2:
            acknowledged, started = len(acks), time.monotonic()
            assert await server.terminate() == 0
            assert time.monotonic() - started < GRACE / 2
            await server.start()
            assert len(acks) > acknowledged


async def test_stalled_subscriber_holds_up_the_end_no_longer_than_the_grace(database: str, tmp_path: Path) -> None:
    async with (
        serving(database, tmp_path / "log", {**SETTINGS, "AI_GRPC_DRAIN_GRACE": "2"}) as server,
        stubs_of([server]) as (stub,),
        grpc.aio.insecure_channel(server.target) as channel,
        asyncio.timeout(30),
    ):
        model_id = await an_active_model(channel)
        stalled = stub.SubscribeSignals(_earliest())
        await stalled.read()
        for _ in range(15):
            signals = [a_signal(model_id, metadata={"note": "x" * 8000}) for _ in range(100)]
            await stub.PublishSignals(pb.PublishSignalsRequest(signals=signals))
        started = time.monotonic()
        assert await server.terminate() == 0
        assert 1.5 < time.monotonic() - started < 4


async def _last_position(stub: SignalServiceAsyncStub) -> int:
    """Reads a stream until the server ends it; returns the position to go on after."""
    messages = [message async for message in _until_drained(stub.SubscribeSignals(_earliest()))]
    assert messages[-1].closing.reason == streams_pb2.Closing.REASON_SHUTDOWN
    assert messages[-1].closing.retry_delay.ToMilliseconds() > 0
    return messages[-1].position.sequence


async def _answers(stub: SignalServiceAsyncStub, signal: pb.Signal) -> list[int]:
    """Publishes on a stream that stays open until the server ends it; returns where the signal is."""
    call = stub.PublishSignalStream()
    await call.write(pb.PublishSignalStreamRequest(signals=[signal]))
    return [result.sequence async for message in _until_drained(call) for result in message.results]


async def _until_drained(stream: AsyncIterable[Message]) -> AsyncIterator[Message]:
    try:
        async for message in stream:
            yield message
    except grpc.aio.AioRpcError as error:
        if (error.code(), reason(error)) != (grpc.StatusCode.UNAVAILABLE, "DRAINING"):
            raise


def _earliest() -> pb.SubscribeSignalsRequest:
    return pb.SubscribeSignalsRequest(earliest=streams_pb2.Earliest())


def _request(signal: pb.Signal) -> pb.PublishSignalsRequest:
    return pb.PublishSignalsRequest(signals=[signal])
