"""Killed servers: nothing acknowledged is lost, nothing is there twice, and the SDK finds its way by itself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import grpc

from ai_grpc.client import SignalPublisher
from ai_grpc.v1 import signals_pb2 as pb
from tests.faults.database import PATIENT, administrator, no_appends, until_waiting
from tests.faults.history import the_log
from tests.load import SCALE, SCALED_SECONDS, SYMBOLS, load_on, scaled
from tests.server import ServerProcess, serving
from tests.signals import a_signal, an_active_model

ROUNDS: Final = int(20 * SCALE)
SETTINGS: Final = {"AI_GRPC_LOG_LEVEL": "WARNING", "AI_GRPC_RING_EVENTS": "2000"}
FILTERS: Final = (
    pb.SignalFilter(),
    pb.SignalFilter(symbols=SYMBOLS[:2], min_confidence=0.5),
    pb.SignalFilter(min_confidence=0.999),
)


@scaled
async def test_killed_servers_lose_and_double_nothing(database: str, tmp_path: Path) -> None:
    async with (
        serving(database, tmp_path / "0.log", SETTINGS) as first,
        serving(database, tmp_path / "1.log", SETTINGS) as second,
        serving(database, tmp_path / "2.log", SETTINGS) as third,
        asyncio.timeout(SCALED_SECONDS),
    ):
        servers = [first, second, third]
        async with load_on(database, [server.target for server in servers], FILTERS, publishers=4, per_second=250):
            for _ in range(ROUNDS):
                await _kill_some(servers)


async def test_signal_that_was_committed_after_its_server_had_died_is_there_once(database: str, tmp_path: Path) -> None:
    async with (
        serving(database, tmp_path / "0.log", PATIENT) as first,
        serving(database, tmp_path / "1.log", PATIENT) as second,
        administrator(database) as admin,
        asyncio.timeout(60),
    ):
        async with grpc.aio.insecure_channel(first.target) as channel:
            signal = a_signal(await an_active_model(channel))
        async with SignalPublisher([first.target, second.target]) as publisher:
            async with no_appends(admin):
                answer = await publisher.submit(signal)
                await until_waiting(admin, "append", 1)
                await first.kill()
                await until_waiting(admin, "append", 2)
            published = await answer
        assert published[1:3] == (1, True)
        assert [entry.signal_id for entry in await the_log(database)] == [signal.signal_id]


async def _kill_some(servers: Sequence[ServerProcess]) -> None:
    """Kills one, two or all of them, each at a moment of its own, and starts them again."""

    async def kill_and_start(server: ServerProcess) -> None:
        await asyncio.sleep(random.uniform(0, 0.5))
        await server.kill()
        await server.start()

    async with asyncio.TaskGroup() as killing:
        for server in random.sample(servers, random.choice((1, 1, 1, 2, 2, 3))):
            killing.create_task(kill_and_start(server))
