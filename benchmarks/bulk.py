"""Section bulk: many signals at once, in messages of a thousand on one publish stream, against COPY."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ai_grpc.v1 import signals_pb2 as pb
from benchmarks.ceilings import copy_seconds
from benchmarks.load import Call, a_signal, settle
from benchmarks.stage import Exchange, Stage

SIZE = 1000
REQUESTS_A_SECOND = 15


@asynccontextmanager
async def bulk(stage: Stage) -> AsyncIterator[Call]:
    """The same number of signals both ways; they are made before."""
    requests = max(3, int(REQUESTS_A_SECOND * stage.scale.seconds))
    count = requests * SIZE
    async with stage.exchange() as exchange, stage.ceiling() as (_, connection, model_id):

        async def round() -> None:
            signals = [a_signal(model_id) for _ in range(count)]
            stage.figures.note("COPY rate", count / await copy_seconds(connection, signals))
            stage.figures.note("bulk rate", count / await bulk_seconds(exchange, requests))

        yield round
        await exchange.check_stored()


async def bulk_seconds(exchange: Exchange, requests: int) -> float:
    """How long it takes until the last of the messages is acknowledged."""
    messages = [
        pb.PublishSignalStreamRequest(signals=[a_signal(exchange.model_id) for _ in range(SIZE)])
        for _ in range(requests)
    ]
    call = exchange.signals.PublishSignalStream()
    await call.wait_for_connection()
    settle()
    started = time.perf_counter()

    async def send() -> None:
        for message in messages:
            await call.write(message)
        await call.done_writing()

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        for _ in messages:
            response = await call.read()
            if not isinstance(response, pb.PublishSignalStreamResponse) or len(response.results) != SIZE:
                raise RuntimeError(f"the stream answered {response}")
            exchange.acked += SIZE
    return time.perf_counter() - started
