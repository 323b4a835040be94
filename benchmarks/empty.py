"""A server process whose handlers do nothing: what gRPC alone costs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import uvloop

from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.cluster import free_port

EPOCH = "00000000-0000-0000-0000-000000000000"


async def publish(request: pb.PublishSignalsRequest, context: object) -> pb.PublishSignalsResponse:
    """Answers at once, in the shape of the real answer."""
    return pb.PublishSignalsResponse(results=[pb.PublishResult(sequence=1) for _ in request.signals], epoch=EPOCH)


async def publish_stream(
    requests: AsyncIterator[pb.PublishSignalStreamRequest], context: object
) -> AsyncIterator[pb.PublishSignalStreamResponse]:
    """Answers each message at once, in the shape of the real answer."""
    async for request in requests:
        results = [pb.PublishResult(sequence=1) for _ in request.signals]
        yield pb.PublishSignalStreamResponse(results=results, epoch=EPOCH)


@asynccontextmanager
async def empty_server() -> AsyncIterator[str]:
    """Such a server in a process of its own; yields its target."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "benchmarks.empty", str(port))
    try:
        async with asyncio.timeout(20), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await SignalServiceStub(channel).PublishSignals(pb.PublishSignalsRequest(), wait_for_ready=True)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


async def _serve(port: int) -> None:
    server = grpc.aio.server()
    unary = grpc.unary_unary_rpc_method_handler(
        publish, pb.PublishSignalsRequest.FromString, pb.PublishSignalsResponse.SerializeToString
    )
    stream = grpc.stream_stream_rpc_method_handler(
        publish_stream, pb.PublishSignalStreamRequest.FromString, pb.PublishSignalStreamResponse.SerializeToString
    )
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {"PublishSignals": unary, "PublishSignalStream": stream}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("ai_grpc.v1.SignalService", methods),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
