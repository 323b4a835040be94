"""The SDK for threads: the same promises, and a program that ends when it should."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import grpc
import pytest

from ai_grpc.client import SyncPublisher, SyncSubscriber
from ai_grpc.client.background import BACKGROUND
from ai_grpc.errors import InvalidArgument
from ai_grpc.v1 import signals_pb2 as pb
from tests.server import ServerProcess, serving
from tests.signals import a_signal, an_active_model
from tests.streams import sequences

T = TypeVar("T")


class Service(NamedTuple):
    """A server process, and a model that may publish."""

    server: ServerProcess
    model_id: str

    @property
    def target(self) -> str:
        """Where it is."""
        return self.server.target

    def signal(self, **changes: Any) -> pb.Signal:
        """A signal that can be published, but for the changes."""
        return a_signal(self.model_id, **changes)


@pytest.fixture
async def service(database: str, tmp_path: Path) -> AsyncIterator[Service]:
    """A process of its own: the threads of a test have an event loop of theirs."""
    async with serving(database, tmp_path / "log") as server:
        async with grpc.aio.insecure_channel(server.target) as channel:
            model_id = await an_active_model(channel)
        yield Service(server, model_id)


async def test_threads_publish_and_a_thread_reads(service: Service) -> None:
    def work() -> list[int]:
        with SyncPublisher(service.target) as publisher, SyncSubscriber(service.target, start="earliest") as subscriber:
            signals = [service.signal() for _ in range(200)]
            with ThreadPoolExecutor(8) as threads:
                published = list(threads.map(publisher.publish, signals))
            assert sorted(each.sequence for each in published) == list(range(1, 201))
            with pytest.raises(InvalidArgument):
                publisher.publish(service.signal(confidence=7))
            return sequences(islice(subscriber, 200))

    assert await in_thread(work) == list(range(1, 201))


async def test_the_position_is_that_of_the_last_event_done_with(service: Service) -> None:
    def work() -> list[int]:
        with SyncPublisher(service.target) as publisher:
            for _ in range(10):
                publisher.publish(service.signal())
        with SyncSubscriber(service.target, start="earliest") as subscriber:
            for event in subscriber:
                if event.sequence == 4:
                    break
            kept = subscriber.position
        assert kept is not None
        assert kept.sequence == 3
        with SyncSubscriber(service.target, position=kept) as resumed:
            return sequences(next(resumed) for _ in range(7))

    assert await in_thread(work) == list(range(4, 11))


async def test_polling_waits_no_longer_than_it_is_told(service: Service) -> None:
    def work() -> None:
        with SyncSubscriber(service.target) as subscriber, SyncPublisher(service.target) as publisher:
            while subscriber.position is None:
                assert subscriber.poll(0.5) is None
            publisher.publish(service.signal())
            event = subscriber.poll(10)
            assert event is not None
            assert event.sequence == 1
            assert subscriber.poll(0) is None
            assert subscriber.caught_up
            assert subscriber.skipped == 0

    await in_thread(work)


async def test_closing_ends_the_iteration_of_another_thread(service: Service) -> None:
    begun = threading.Event()

    def read() -> list[int]:
        received = []
        for event in subscriber:
            received.append(event.sequence)
            begun.set()
        return received

    subscriber = SyncSubscriber(service.target, start="earliest")
    with SyncPublisher(service.target) as publisher:
        await in_thread(lambda: publisher.publish(service.signal()))
        reading = asyncio.create_task(in_thread(read))
        assert await asyncio.to_thread(begun.wait, 10)
        await in_thread(subscriber.close)
        assert await reading == [1]
        assert list(subscriber) == []


async def test_the_thread_lives_as_long_as_somebody_needs_it(service: Service) -> None:
    def work() -> None:
        for _ in range(3):
            with SyncPublisher(service.target) as outer:
                with SyncPublisher(service.target) as inner:
                    inner.publish(service.signal())
                outer.publish(service.signal())
                assert _threads() == 1
            assert _threads() == 0

    await in_thread(work)


async def test_it_goes_on_when_the_server_comes_back(service: Service) -> None:
    with SyncPublisher(service.target) as publisher, SyncSubscriber(service.target, start="earliest") as subscriber:
        await in_thread(lambda: publisher.publish(service.signal()))
        assert (await in_thread(lambda: next(subscriber))).sequence == 1
        await service.server.kill()
        publishing = asyncio.create_task(in_thread(lambda: publisher.publish(service.signal())))
        await service.server.start()
        assert (await publishing).sequence == 2
        assert (await in_thread(lambda: next(subscriber))).sequence == 2


WAITS = """
from ai_grpc.client import SyncPublisher, SyncSubscriber
publisher = SyncPublisher({target!r})
subscriber = SyncSubscriber({target!r})
print("begun", flush=True)
for event in subscriber:
    print(event.sequence, flush=True)
"""


async def test_ctrl_c_ends_a_program_that_waits(service: Service) -> None:
    program = await _program(WAITS.format(target=service.target))
    assert program.stdout is not None
    assert await asyncio.wait_for(program.stdout.readline(), 20) == b"begun\n"
    program.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(program.communicate(), 10)
    assert err.decode().strip().endswith("KeyboardInterrupt")
    assert program.returncode == -signal.SIGINT


FORGETS = """
from ai_grpc.client import SyncPublisher, SyncSubscriber
from ai_grpc.v1 import signals_pb2 as pb
publisher = SyncPublisher({target!r})
subscriber = SyncSubscriber({target!r}, start="earliest")
signal = pb.Signal(model_id={model_id!r}, symbol="AAPL", signal_type=pb.SIGNAL_TYPE_BUY, confidence=0.5)
publisher.publish(signal)
print(next(subscriber).sequence)
"""


async def test_a_program_that_forgets_to_close_ends_all_the_same(service: Service) -> None:
    program = await _program(FORGETS.format(target=service.target, model_id=service.model_id))
    out, err = await asyncio.wait_for(program.communicate(), 20)
    assert (out, err, program.returncode) == (b"1\n", b"", 0)


async def in_thread(work: Callable[[], T]) -> T:
    """Calls a function that blocks, for a bounded time."""
    try:
        return await asyncio.wait_for(asyncio.to_thread(work), 30)
    except TimeoutError:
        BACKGROUND.stop()
        raise


async def _program(text: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ.copy()
    )


def _threads() -> int:
    return sum(thread.name == "ai_grpc" for thread in threading.enumerate())
