"""Section trading: pgbench in the database of the service while publishers flood it, or go around the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from ai_grpc.settings import Settings
from benchmarks.flood import INSERTS, NOTIFY, SERVICE
from benchmarks.homemade import homemade
from benchmarks.load import Call
from benchmarks.pgbench import initialise, most_connections, transactions
from benchmarks.processes import Client, client
from benchmarks.stage import Exchange, Stage

# The same publishers each time. What differs is how their signals reach the database, and how many it gets.
UNBOUNDED = "unbounded"
BOUNDED = "bounded"
UNPACED = "bounded, without a pace"
WAYS = {
    UNBOUNDED: NOTIFY,
    "unbounded, INSERT alone": INSERTS,
    BOUNDED: SERVICE,
    UNPACED: SERVICE,
}
PUBLISHERS = 4
CALLERS = 30
TRADERS = 4
SHORTEST, LONGEST = 1, 2
HEAD_START = 0.5
ANSWER_SECONDS = 30


@asynccontextmanager
async def trading(stage: Stage) -> AsyncIterator[Call]:
    """The latency of small trading transactions: in quiet, and under floods."""
    async with stage.exchange() as exchange, homemade(exchange.dsn, 1) as peer, AsyncExitStack() as stack:
        await initialise(stage.cluster, exchange.dsn)
        floods = {
            SERVICE: await _flood(stack, SERVICE, exchange.target, exchange.model_id),
            NOTIFY: await _flood(stack, NOTIFY, exchange.dsn, ""),
            INSERTS: await _flood(stack, INSERTS, exchange.dsn, ""),
        }
        acked = dict.fromkeys(floods, 0)

        async def round() -> None:
            await _trade(stage, exchange, "quiet", [])
            pace = 0.0
            for name, way in WAYS.items():
                rate, calls = await _trade(stage, exchange, name, floods[way], pace if name == BOUNDED else 0)
                acked[way] += calls
                pace = rate if name == UNBOUNDED else pace

        yield round
        exchange.acked = acked[SERVICE]
        await exchange.check_stored()
        if (stored := await peer.count()) != acked[NOTIFY] + acked[INSERTS]:
            raise RuntimeError(f"{acked} were acknowledged, {stored} are stored")


async def _flood(stack: AsyncExitStack, *arguments: str) -> list[Client]:
    return [await stack.enter_async_context(client("benchmarks.flood", *arguments, CALLERS)) for _ in range(PUBLISHERS)]


async def _trade(
    stage: Stage, exchange: Exchange, name: str, flood: Sequence[Client], pace: float = 0
) -> tuple[float, int]:
    """Notes the latency and rate of the transactions, and the connections; returns the rate and size of the flood."""
    seconds = min(LONGEST, max(SHORTEST, round(2 * stage.scale.seconds)))
    async with most_connections(exchange.dsn) as most:
        for each in flood:
            each.tell([seconds + 2 * HEAD_START, pace / PUBLISHERS])
        await asyncio.sleep(HEAD_START)
        latencies = await transactions(stage.cluster, exchange.dsn, TRADERS, seconds)
        answers = await asyncio.gather(*(each.answer(ANSWER_SECONDS) for each in flood))
    stage.figures.note_latency(f"trading, {name}", latencies)
    stage.figures.note(f"trading, {name} rate", len(latencies) / seconds)
    rate = sum(rate for rate, _ in answers)
    if flood:
        stage.figures.note(f"flood, {name} rate", rate)
    if name == UNPACED:
        stage.figures.note("connections of the service", max(most))
        stage.figures.note("connections above the bound", max(0, max(most) - _bound()))
    return rate, sum(calls for _, calls in answers)


def _bound() -> int:
    """How many connections the service may hold: its pools, and one each to append, follow, notify and sweep."""
    settings = Settings.model_construct()
    return settings.calls_pool_size + settings.read_pool_size + settings.replay_pool_size + 4
