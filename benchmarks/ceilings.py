"""The ceilings: what gRPC does with an empty handler, and what PostgreSQL does with the append function alone."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import grpc

from ai_grpc.db import load_queries
from ai_grpc.exchange.checks import publication
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.cluster import free_port

APPEND = load_queries("log")["append"]


async def answer(request: pb.PublishSignalsRequest, context: object) -> pb.PublishSignalsResponse:
    """Answers at once, in the shape of the real answer."""
    results = [pb.PublishResult(sequence=1) for _ in request.signals]
    return pb.PublishSignalsResponse(results=results, epoch="00000000-0000-0000-0000-000000000000")


@asynccontextmanager
async def empty_server() -> AsyncIterator[str]:
    """A server process with that handler and nothing else; yields its target."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.ceilings", str(port))
    try:
        async with asyncio.timeout(20), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await SignalServiceStub(channel).PublishSignals(pb.PublishSignalsRequest(), wait_for_ready=True)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


async def append_seconds(
    connection: asyncpg.Connection, batches: list[list[pb.Signal]], before: Callable[[], Awaitable[object]]
) -> list[float]:
    """How long each direct call of the append function takes, from columns that are ready.

    Something else is done `before` each of them: back to back, the database would answer from warmer caches than it
    ever does for a service.
    """
    seconds = []
    for batch in batches:
        rows = publication(batch).rows
        columns = [[0] * len(rows), *zip(*rows, strict=True)]
        await before()
        started = time.perf_counter()
        await connection.fetch(APPEND, *columns)
        seconds.append(time.perf_counter() - started)
    return seconds


async def _serve(port: int) -> None:
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        answer, pb.PublishSignalsRequest.FromString, pb.PublishSignalsResponse.SerializeToString
    )
    methods = grpc.method_handlers_generic_handler("ai_grpc.v1.SignalService", {"PublishSignals": handler})
    server.add_generic_rpc_handlers((methods,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(int(sys.argv[1])))
