"""Bulk writes: in order, gathered while a write is under way, within bounds, and ended on both sides by any failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Final

import pytest

from ai_grpc.errors import InvalidArgument
from ai_grpc.ingest import MAX_BYTES, MAX_ROWS, ingest
from ai_grpc.v1.training_pb2 import AddEpisodesRequest, Episode

QUARTER: Final = MAX_BYTES // 4

Prepared = tuple[Sequence[Episode], Sequence[str]]


class Table:
    """Takes what is written when it is let go."""

    def __init__(self) -> None:
        self.writes: list[list[tuple[int, str]]] = []
        self.started, self.go = asyncio.Event(), asyncio.Event()
        self.fault: Exception | None = None

    async def prepare(self, episodes: Sequence[Episode], places: Sequence[str]) -> Prepared:
        """As `Records.prepare` would."""
        return episodes, places

    async def store(self, prepared: Prepared) -> None:
        """As `Records.store` would."""
        episodes, places = prepared
        self.writes.append([(each.episode_number, place) for each, place in zip(episodes, places, strict=True)])
        self.started.set()
        await self.go.wait()
        if self.fault is not None:
            raise self.fault

    @property
    def numbers(self) -> list[list[int]]:
        """The episodes of each write."""
        return [[number for number, _ in write] for write in self.writes]


class Client:
    """Sends requests, and then ends, fails, or waits for ever."""

    def __init__(self, *requests: AddEpisodesRequest, end: Exception | bool = True) -> None:
        self.read = 0
        self._requests, self._end = requests, end

    async def send(self) -> AsyncIterator[AddEpisodesRequest]:
        """The stream of requests."""
        for request in self._requests:
            await asyncio.sleep(0)
            self.read += 1
            yield request
        if isinstance(self._end, Exception):
            raise self._end
        if not self._end:
            await asyncio.Event().wait()


def a_request(*numbers: int, size: int = 0) -> AddEpisodesRequest:
    """Episodes with these numbers, which take so many bytes in all."""
    text = "x" * (size // max(1, len(numbers)))
    return AddEpisodesRequest(episodes=[Episode(episode_number=n, episode_end_reason=text) for n in numbers])


@asynccontextmanager
async def ingesting(client: Client, table: Table) -> AsyncIterator[asyncio.Task[int]]:
    """An ingest that has begun its first write and read all that it would read. Nothing of it is left afterwards."""
    before = asyncio.all_tasks()
    task = asyncio.create_task(ingest(client.send(), "episodes", table.prepare, table.store))
    await asyncio.wait_for(table.started.wait(), 5)
    read = -1
    while read != client.read:
        read = client.read
        for _ in range(5):
            await asyncio.sleep(0)
    yield task
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert asyncio.all_tasks() - before == set()


async def test_what_arrives_during_a_write_is_gathered_for_the_next_in_order() -> None:
    client, table = Client(*(a_request(n, n + 100) for n in range(10))), Table()
    async with ingesting(client, table) as task:
        table.go.set()
        assert await task == 20
    assert list(chain.from_iterable(table.writes)) == [
        (number, f"requests[{n}].episodes[{index}]") for n in range(10) for index, number in enumerate((n, n + 100))
    ]
    assert len(table.writes) <= 3


async def test_a_stream_of_nothing_writes_nothing() -> None:
    table = Table()
    assert await ingest(Client().send(), "episodes", table.prepare, table.store) == 0
    assert table.writes == []


# One batch of three requests is being stored, one is prepared, one waits, and one request is in the reader's hand.
MOST_READ: Final = 10


async def test_no_more_rows_are_read_ahead_than_a_batch_has() -> None:
    client, table = Client(*(a_request(*range(n * 300, n * 300 + 300)) for n in range(30))), Table()
    async with ingesting(client, table) as task:
        assert client.read <= MOST_READ
        table.go.set()
        assert await task == 9000
    assert max(map(len, table.writes)) == 900
    assert list(chain.from_iterable(table.numbers)) == list(range(9000))


async def test_no_more_bytes_are_read_ahead_than_a_batch_has() -> None:
    client, table = Client(*(a_request(n, size=QUARTER + 1) for n in range(30))), Table()
    async with ingesting(client, table) as task:
        assert client.read <= MOST_READ
        table.go.set()
        assert await task == 30
    assert max(map(len, table.writes)) == 3
    assert list(chain.from_iterable(table.numbers)) == list(range(30))


async def test_a_request_that_is_larger_than_a_write_is_written_alone() -> None:
    client, table = Client(*(a_request(n, size=MAX_BYTES + 1) for n in range(3))), Table()
    async with ingesting(client, table) as task:
        table.go.set()
        assert await task == 3
    assert table.numbers == [[0], [1], [2]]


@pytest.mark.parametrize("count", [0, MAX_ROWS + 1])
async def test_a_request_of_a_wrong_size_ends_it_after_those_before(count: int) -> None:
    client, table = Client(a_request(7), a_request(*range(count)), a_request(8)), Table()
    async with ingesting(client, table) as task:
        table.go.set()
        with pytest.raises(
            InvalidArgument, match=rf"^requests\[1\]\.episodes must have 1 to 1000 elements, not {count}"
        ):
            await task
    assert table.numbers == [[7]]


async def test_a_client_that_fails_ends_it_after_what_was_read() -> None:
    client, table = Client(a_request(1), a_request(2), a_request(3), end=ConnectionError("gone")), Table()
    async with ingesting(client, table) as task:
        table.go.set()
        with pytest.raises(ConnectionError, match="gone"):
            await task
    assert list(chain.from_iterable(table.numbers)) == [1, 2, 3]


@pytest.mark.parametrize("requests", [1, 2, 2000])
async def test_a_write_that_fails_ends_the_reading(requests: int) -> None:
    # Of the many, most still wait for room.
    client, table = Client(*(a_request(n) for n in range(requests)), end=False), Table()
    async with ingesting(client, table) as task:
        table.fault = ValueError("no")
        table.go.set()
        with pytest.raises(ValueError, match="no"):
            await task
        assert len(table.writes) == 1


@pytest.mark.parametrize("requests", [1, 2, 2000])
async def test_a_cancelled_call_ends_both(requests: int) -> None:
    client, table = Client(*(a_request(n) for n in range(requests)), end=False), Table()
    async with ingesting(client, table) as task:
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()
        assert len(table.writes) == 1
