"""The health service, which balancers and clients ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse, HealthListRequest
from grpc_health.v1.health_pb2_grpc import HealthStub, add_HealthServicer_to_server

from ai_grpc import server
from ai_grpc.app import running
from ai_grpc.health import Context, Health
from ai_grpc.v1.models_pb2 import ListModelsRequest
from ai_grpc.v1.models_pb2_grpc import ModelServiceStub
from tests.cluster import Cluster
from tests.signals import an_exchange, chosen, details, refusal

SERVICES = ["", *server.SERVICES]
SERVING = HealthCheckResponse(status=HealthCheckResponse.SERVING)
NOT_SERVING = HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING)
UNKNOWN = HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)


async def test_every_service_serves(database: str) -> None:
    async with an_exchange(database) as channel:
        for service in SERVICES:
            request = HealthCheckRequest(service=service)
            assert await HealthStub(channel).Check(request) == SERVING
            assert await anext(aiter(HealthStub(channel).Watch(request))) == SERVING
        listed = await HealthStub(channel).List(HealthListRequest())
        assert dict(listed.statuses) == dict.fromkeys(SERVICES, SERVING)


async def test_an_unknown_service_is_not_found(database: str) -> None:
    async with an_exchange(database) as channel:
        request = HealthCheckRequest(service="ai_grpc.v2.SignalService")
        assert (await refusal(HealthStub(channel).Check(request))).code() == grpc.StatusCode.NOT_FOUND
        assert await anext(aiter(HealthStub(channel).Watch(request))) == UNKNOWN


async def test_a_stopping_server_tells_those_who_watch_and_waits_for_none(database: str) -> None:
    async with asyncio.timeout(30), AsyncExitStack() as channels:
        async with running(chosen(), database) as port:
            channel = await channels.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
            watch = HealthStub(channel).Watch(HealthCheckRequest())
            assert await anext(aiter(watch)) == SERVING
            begin = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - begin < 5
        assert [state async for state in watch] == [NOT_SERVING]


async def test_who_is_being_told_of_the_first_state_when_it_stops_is_told_of_the_end_too() -> None:
    class Stopping(Health):
        async def Watch(self, request: HealthCheckRequest, context: Context) -> AsyncIterator[HealthCheckResponse]:
            async for state in super().Watch(request, context):
                self.drain()
                yield state

    bare = grpc.aio.server()
    add_HealthServicer_to_server(Stopping([], "one"), bare)
    port = bare.add_insecure_port("127.0.0.1:0")
    await bare.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            watch = HealthStub(channel).Watch(HealthCheckRequest(), timeout=30)
            assert [state async for state in watch] == [SERVING, NOT_SERVING]
    finally:
        await bare.stop(None)


async def test_health_follows_the_database(cluster: Cluster) -> None:
    async with an_exchange(cluster.url(), poll_interval=0.05) as channel:
        watches = [aiter(HealthStub(channel).Watch(HealthCheckRequest(service=service))) for service in SERVICES]
        assert await asyncio.gather(*map(anext, watches)) == [SERVING] * len(SERVICES)
        await asyncio.to_thread(cluster.stop, "immediate")
        assert await asyncio.gather(*map(anext, watches)) == [NOT_SERVING] * len(SERVICES)
        error = await refusal(ModelServiceStub(channel).ListModels(ListModelsRequest()))
        assert (error.code(), details(error).reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        assert details(error).retry_delay is not None
        await asyncio.to_thread(cluster.start)
        assert await asyncio.gather(*map(anext, watches)) == [SERVING] * len(SERVICES)
        await ModelServiceStub(channel).ListModels(ListModelsRequest())
