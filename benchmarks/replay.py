"""Section replay: one subscriber from the very first event, all of it from the database, against a raw SELECT."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from ai_grpc.exchange.log import PAGE
from benchmarks.ceilings import select_seconds
from benchmarks.history import append
from benchmarks.load import Call
from benchmarks.processes import client
from benchmarks.stage import Stage

LARGE_PAGE = 10_000
REPLAY_SECONDS = 120
# As the service reads, whatever the statistics say.
KEYED = {
    "search_path": "ai_trading",
    "timezone": "UTC",
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


@asynccontextmanager
async def replay(stage: Stage) -> AsyncIterator[Call]:
    """Events a second: counted as they come, and through the SDK."""
    events = stage.scale.events
    dsn = await stage.database()
    await append(dsn, events)
    connection = await asyncpg.connect(dsn, server_settings=KEYED)
    async with stage.exchange(dsn) as exchange:

        async def round() -> None:
            note = stage.figures.note
            select = {page: events / await select_seconds(connection, events, page) for page in (PAGE, LARGE_PAGE)}
            note("raw SELECT, pages of the service rate", select[PAGE])
            note("raw SELECT, large pages rate", select[LARGE_PAGE])
            note("raw SELECT rate", max(select.values()))
            for name, way in (("replay", "counted"), ("replay through the SDK", "sdk")):
                async with client("benchmarks.replayer", exchange.target, events, way) as reader:
                    note(f"{name} rate", events / await reader.answer(REPLAY_SECONDS))

        yield round
    await connection.close()
