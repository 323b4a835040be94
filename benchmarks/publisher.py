"""Section publisher: the SDK publisher with 1, 16 and 128 callers, against direct appends and against the peers."""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from ai_grpc.client import SignalPublisher
from benchmarks.ceilings import append_seconds
from benchmarks.load import Call, Load, a_signal, load
from benchmarks.peers import Peer, open_peers, publishing
from benchmarks.stage import Exchange, Stage

IN_FLIGHT = (1, 16, 128)
OURS = "SDK publisher"
FASTEST = 80_000
FASTEST_CALLER = 5_000


@asynccontextmanager
async def publisher(stage: Stage) -> AsyncIterator[Call]:
    """Signals a second, each acknowledged to its caller."""
    async with stage.exchange() as exchange, stage.ceiling() as (_, connection, model_id), open_peers(stage) as peers:
        acked = dict.fromkeys(peers, 0)
        order = [OURS, *peers]

        async def measured(name: str, in_flight: int) -> Load:
            if name == OURS:
                return await ours(exchange, in_flight, stage.scale.seconds)
            result = await load(publishing(peers[name].publish), in_flight, stage.scale.seconds)
            acked[name] += result.calls
            return result

        async def round() -> None:
            await direct(stage, connection, model_id)
            for in_flight in IN_FLIGHT:
                for name in order:
                    note(stage, name, in_flight, await measured(name, in_flight))
            order.reverse()

        yield round
        await exchange.check_stored()
        for name, peer in peers.items():
            await check_stored(name, peer, acked[name])


async def direct(stage: Stage, connection: asyncpg.Connection, model_id: str) -> None:
    """Rows a second of direct appends, one after the other."""
    count = max(10, int(40 * stage.scale.seconds))
    for size in (10, 100):
        batches = [[a_signal(model_id) for _ in range(size)] for _ in range(count)]
        seconds = statistics.median(await append_seconds(connection, batches))
        stage.figures.note(f"append of {size} rate", size / seconds)


async def ours(exchange: Exchange, in_flight: int, seconds: float) -> Load:
    """The load through the SDK; the signals are made before, and encoded within."""
    most = min(FASTEST, in_flight * FASTEST_CALLER)
    ready = iter([a_signal(exchange.model_id) for _ in range(int(most * seconds * 1.1) + 1)])
    async with SignalPublisher(exchange.target) as sdk:
        await sdk.publish(next(ready))
        result = await load(lambda: sdk.publish(next(ready)), in_flight, seconds)
    exchange.acked += 1 + result.calls
    return result


def note(stage: Stage, name: str, in_flight: int, result: Load) -> None:
    """Adds the rate and the percentiles."""
    stage.figures.note(f"{name}, {in_flight} in flight rate", result.rate)
    stage.figures.note_latency(f"{name}, {in_flight} in flight", result.seconds)


async def check_stored(name: str, peer: Peer, acked: int) -> None:
    """Raises if the peer does not hold exactly what it acknowledged."""
    if (stored := await peer.stored()) != acked:
        raise RuntimeError(f"{name} acknowledged {acked} signals and stores {stored}")
