"""A database that falls silent without a word: the server gives its connections up, and loses and doubles nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Final

import grpc

from ai_grpc.client import SignalPublisher
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2
from tests.cluster import Cluster
from tests.faults.bare import stubs_of
from tests.faults.database import administrator, connections, no_appends, until, until_waiting
from tests.faults.history import the_log
from tests.server import serving
from tests.signals import a_signal, an_active_model

SETTINGS: Final = {"AI_GRPC_STATEMENT_TIMEOUT": "3", "AI_GRPC_LOG_LEVEL": "WARNING"}
APPENDING: Final = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ai_grpc append'"


async def test_append_that_froze_with_the_lock_is_given_up_and_its_signal_is_there_once(
    cluster: Cluster, tmp_path: Path
) -> None:
    async with (
        serving(cluster.url(), tmp_path / "log", SETTINGS) as server,
        grpc.aio.insecure_channel(server.target) as channel,
        administrator(cluster.url()) as admin,
        SignalPublisher(server.target) as publisher,
        asyncio.timeout(60),
    ):
        signal = a_signal(await an_active_model(channel))
        with ExitStack() as frozen:
            async with no_appends(admin):
                answer = await publisher.submit(signal)
                await until_waiting(admin, "append", 1)
                (pid,) = await connections(admin, "append")
                frozen.enter_context(_frozen(pid))
            # The lock is the frozen one's now. The server leaves it, and tries again on another connection.
            await until(admin, APPENDING, 2)
        assert (await answer).sequence == 1
    assert [entry.signal_id for entry in await the_log(cluster.url())] == [signal.signal_id]


async def test_replica_whose_tail_froze_follows_on_another_connection(cluster: Cluster, tmp_path: Path) -> None:
    async with (
        administrator(cluster.url()) as admin,
        serving(cluster.url(), tmp_path / "0.log", SETTINGS) as first,
        grpc.aio.insecure_channel(first.target) as channel,
    ):
        model_id = await an_active_model(channel)
        others = await connections(admin, "tail")
        async with serving(cluster.url(), tmp_path / "1.log", SETTINGS) as second:
            (pid,) = await connections(admin, "tail") - others
            async with stubs_of([first, second]) as (publishing, following), asyncio.timeout(15):
                latest = pb.SubscribeSignalsRequest(latest=streams_pb2.Latest())
                messages = aiter(following.SubscribeSignals(latest))
                assert (await anext(messages)).HasField("started")
                with _frozen(pid):
                    sent = a_signal(model_id)
                    await publishing.PublishSignals(pb.PublishSignalsRequest(signals=[sent]), timeout=5)
                    event = await anext(event async for message in messages for event in message.batch.events)
                assert event.signal.signal_id == sent.signal_id


@contextmanager
def _frozen(pid: int) -> Iterator[None]:
    """The process does nothing meanwhile, and says nothing."""
    os.kill(pid, SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, SIGCONT)
