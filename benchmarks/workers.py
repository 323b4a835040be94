"""Section workers: one and two server processes on one port, for two clients and for many subscribers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from benchmarks.audience import audience, percentile_of
from benchmarks.fanout import PER_SECOND
from benchmarks.load import Call
from benchmarks.processes import Client, client
from benchmarks.stage import Exchange, Stage
from benchmarks.unary import IN_FLIGHT

WORKERS = {1: "1 worker", 2: "2 workers"}
CLIENTS = 2
ANSWER_SECONDS = 30


@asynccontextmanager
async def workers(stage: Stage) -> AsyncIterator[Call]:
    """Unary calls a second, and delivery."""
    async with AsyncExitStack() as stack:
        exchanges = {}
        for count, name in WORKERS.items():
            settings = {"AI_GRPC_WORKERS": str(count), "AI_GRPC_MAX_SUBSCRIPTIONS": str(stage.scale.subscribers)}
            exchanges[name] = await stack.enter_async_context(stage.exchange(settings=settings))

        async def round() -> None:
            for name, exchange in exchanges.items():
                await _unary(stage, name, exchange)
                await _delivery(stage, name, exchange)

        yield round
        for exchange in exchanges.values():
            await exchange.check_stored()


async def _unary(stage: Stage, name: str, exchange: Exchange) -> None:
    async with AsyncExitStack() as stack:
        arguments = (exchange.target, exchange.model_id, IN_FLIGHT // CLIENTS)
        callers: list[Client] = [
            await stack.enter_async_context(client("benchmarks.caller", *arguments)) for _ in range(CLIENTS)
        ]
        # The first answer tells that the process runs and has its connection.
        for seconds in (0.1, stage.scale.seconds):
            for caller in callers:
                caller.tell(seconds)
            answers = await asyncio.gather(*(caller.answer(seconds + ANSWER_SECONDS) for caller in callers))
            exchange.acked += sum(answer["count"] for answer in answers)
    stage.figures.note(f"unary, {name} rate", sum(answer["rate"] for answer in answers))


async def _delivery(stage: Stage, name: str, exchange: Exchange) -> None:
    async with audience(exchange, stage.scale.subscribers) as listeners:
        signals = int(PER_SECOND * stage.scale.seconds)
        _, histogram = await listeners.hear(exchange, signals, 1, PER_SECOND)
    for suffix, share in (("p50", 0.5), ("p99", 0.99)):
        stage.figures.note(f"fan-out delivery, {name} {suffix}", percentile_of(histogram, share))
