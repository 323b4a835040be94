"""A long run: two servers, many subscribers, half the load that the machine carries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg

from ai_grpc.client import connect
from tests.faults.database import administrator, head, until
from tests.server import ServerProcess
from tests.signals import an_active_model
from tests.soak import watched
from tests.soak.crowd import Crowd, crowd_of
from tests.soak.filters import KINDS, due, filter_of
from tests.soak.flatness import Verdict, verdicts
from tests.soak.load import Load
from tests.soak.samples import Sample, take_sample

SERVERS: Final = 2
WATCHED: Final = ("tests.soak.watched", "serve")
# A ring that has wrapped by the end of the warm-up, so that memory which grows later is a leak.
SETTINGS: Final = {"AI_GRPC_LOG_LEVEL": "WARNING", "AI_GRPC_RING_EVENTS": "8192"}
SHARE: Final = 0.5
FLOOD_SECONDS: Final = 5.0
WARM_UP_SHARE: Final = 0.1
# For subscribers to have everything after the load has ended.
CATCH_UP_SECONDS: Final = 120
DUE: Final = "SELECT count(*) FROM ai_trading.ai_signals WHERE status = 'ACTIVE' AND expires_at IS NOT NULL"


@dataclass(slots=True)
class Result:
    """What a run was."""

    seconds: float
    subscribers: int
    capacity: float = 0
    rate: float = 0
    published: int = 0
    delivered: int = 0
    reconnects: int = 0
    samples: list[Sample] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def verdicts(self) -> list[Verdict]:
        """Whether it was flat, after the warm-up."""
        return verdicts(self.samples[int(len(self.samples) * WARM_UP_SHARE) :])


async def soak(
    dsn: str,
    home: Path,
    seconds: float,
    subscribers: int,
    interval: float,
    progress: Callable[[float, Sample], None] = lambda passed, sample: None,
) -> Result:
    """Runs for so long, then lets everybody catch up and counts."""
    result = Result(seconds, subscribers)
    files = [home / f"tasks-{number}" for number in range(SERVERS)]
    async with _servers(dsn, home, files) as servers, administrator(dsn) as admin:
        targets = [server.target for server in servers]
        async with connect(targets[0]) as channel:
            model_ids = [await an_active_model(channel) for _ in range(2)]
        load = Load(targets, model_ids)
        async with crowd_of(subscribers, targets, model_ids) as crowd, asyncio.TaskGroup() as group:
            listening = group.create_task(crowd.listen())
            result.capacity = await _capacity(load, crowd, min(FLOOD_SECONDS, seconds / 4))
            result.rate = result.capacity * SHARE
            publishing = group.create_task(load.run(result.rate))
            started = time.monotonic()
            while (passed := time.monotonic() - started) < seconds and not crowd.faults:
                result.samples.append(await take_sample(servers, files, admin, load, crowd))
                progress(passed, result.samples[-1])
                await asyncio.sleep(interval)
            load.stop.set()
            await publishing
            await _end(admin, crowd, listening)
        result.published, result.delivered, result.reconnects = load.published, crowd.received, crowd.reconnects
        result.faults = await _faults(admin, crowd, model_ids, servers)
    return result


@asynccontextmanager
async def _servers(dsn: str, home: Path, files: Sequence[Path]) -> AsyncIterator[list[ServerProcess]]:
    async with AsyncExitStack() as stack:
        servers = []
        for number, file in enumerate(files):
            settings = {**SETTINGS, watched.FILE: str(file)}
            server = ServerProcess(dsn, home / f"server-{number}.log", settings, WATCHED)
            stack.push_async_callback(_stop, server)
            await server.start()
            servers.append(server)
        yield servers


async def _stop(server: ServerProcess) -> None:
    if server.process is not None:
        await server.kill()


async def _capacity(load: Load, crowd: Crowd, seconds: float) -> float:
    """Signals a second, from the first publication until the last steady subscriber has them all."""
    started = time.monotonic()
    await load.flood(seconds)
    async with asyncio.timeout(CATCH_UP_SECONDS):
        while crowd.lowest < load.published and not crowd.faults:
            await crowd.news()
    return load.published / (time.monotonic() - started)


async def _end(admin: asyncpg.Connection, crowd: Crowd, listening: asyncio.Task[None]) -> None:
    await until(admin, DUE, 0, CATCH_UP_SECONDS)
    crowd.end(await head(admin))
    async with asyncio.timeout(CATCH_UP_SECONDS):
        await listening


async def _faults(
    admin: asyncpg.Connection, crowd: Crowd, model_ids: Sequence[str], servers: Sequence[ServerProcess]
) -> list[str]:
    last = await head(admin)
    expected = [await due(admin, last, filter_of(number, model_ids)) for number in range(KINDS)]
    logs = [f"the log of a server: {log[:2000]}" for server in servers if (log := server.log.strip())]
    return crowd.incomplete(expected) + logs
