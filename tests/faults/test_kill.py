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
from tests.faults.database import administrator, head, no_appends, waiting_appends
from tests.faults.history import Ack, Entry, check_acks, check_delivery, check_log, check_real_time, the_log
from tests.load import SCALE, SYMBOLS, follow_steadily, publish_steadily
from tests.server import ServerProcess, serving
from tests.signals import a_signal, an_active_model

ROUNDS: Final = int(20 * SCALE)
SETTINGS: Final = {"AI_GRPC_LOG_LEVEL": "WARNING", "AI_GRPC_RING_EVENTS": "2000"}
FILTERS: Final = (
    pb.SignalFilter(),
    pb.SignalFilter(symbols=SYMBOLS[:2], min_confidence=0.5),
    pb.SignalFilter(min_confidence=0.999),
)


async def test_killed_servers_lose_and_double_nothing(database: str, tmp_path: Path) -> None:
    acks: list[Ack] = []
    entries: list[list[Entry]] = [[] for _ in FILTERS]
    end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    async with (
        serving(database, tmp_path / "0.log", SETTINGS) as first,
        serving(database, tmp_path / "1.log", SETTINGS) as second,
        serving(database, tmp_path / "2.log", SETTINGS) as third,
        administrator(database) as admin,
        asyncio.timeout(120 * max(SCALE, 1)),
        asyncio.TaskGroup() as following,
    ):
        servers = [first, second, third]
        targets = [server.target for server in servers]
        async with grpc.aio.insecure_channel(first.target) as channel:
            model_ids = [await an_active_model(channel) for _ in range(2)]
        for wanted, own in zip(FILTERS, entries, strict=True):
            following.create_task(follow_steadily(_shuffled(targets), wanted, end, own))
        async with asyncio.TaskGroup() as publishing:
            for _ in range(4):
                publishing.create_task(publish_steadily(_shuffled(targets), model_ids, 250, stop, acks))
            for _ in range(ROUNDS):
                await _kill_some(servers)
            stop.set()
        end.set_result(await head(admin))
    log = await the_log(database)
    check_log(log)
    check_acks(acks, log)
    check_real_time(acks)
    assert len(log) == len(acks)
    for wanted, own in zip(FILTERS, entries, strict=True):
        check_delivery(own, log, wanted)


async def test_signal_that_was_committed_after_its_server_had_died_is_there_once(database: str, tmp_path: Path) -> None:
    async with (
        serving(database, tmp_path / "0.log") as first,
        serving(database, tmp_path / "1.log") as second,
        administrator(database) as admin,
    ):
        async with grpc.aio.insecure_channel(first.target) as channel:
            signal = a_signal(await an_active_model(channel))
        async with SignalPublisher([first.target, second.target]) as publisher:
            async with no_appends(admin):
                answer = await publisher.submit(signal)
                await waiting_appends(admin, 1)
                await first.kill()
                await waiting_appends(admin, 2)
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


def _shuffled(targets: Sequence[str]) -> list[str]:
    return random.sample(targets, len(targets))
