"""Section unary: 128 calls in flight from one client, against a handler that does nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ai_grpc.client import connect
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from benchmarks.empty import empty_server
from benchmarks.latency import unary_call
from benchmarks.load import Call, load
from benchmarks.stage import Stage

IN_FLIGHT = 128


@asynccontextmanager
async def unary(stage: Stage) -> AsyncIterator[Call]:
    """Calls a second."""
    seconds = stage.scale.seconds
    async with (
        stage.exchange() as exchange,
        empty_server() as target,
        connect(target) as channel,
    ):
        calls = {
            "empty unary": unary_call(SignalServiceStub(channel), exchange.model_id),
            "unary": unary_call(exchange.signals, exchange.model_id),
        }
        order = list(calls)

        async def round() -> None:
            for name in order:
                result = await load(calls[name], IN_FLIGHT, seconds)
                stage.figures.note(f"{name}, {IN_FLIGHT} in flight rate", result.rate)
                stage.figures.note_latency(f"{name}, {IN_FLIGHT} in flight", result.seconds)
                exchange.acked += result.calls if name == "unary" else 0
            order.reverse()

        yield round
        await exchange.check_stored()
