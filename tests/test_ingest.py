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

Write = list[tuple[int, str]]

QUARTER: Final = MAX_BYTES // 4


class Table:
    """Takes what is written when it is let go."""

    def __init__(self) -> None:
        self.writes: list[Write] = []
        self.started, self.go = asyncio.Event(), asyncio.Event()
        self.fault: Exception | None = None

    async def prepare(self, episodes: Sequence[Episode], places: Sequence[str]) -> Write:
        """As `Records.prepare`."""
        await asyncio.sleep(0)
        batch = [(each.episode_number, place) for each, place in zip(episodes, places, strict=True)]
        if any(number < 0 for number, _ in batch):
            raise LookupError(str(batch))
        return batch

    async def store(self, batch: Write) -> None:
        """As `Records.store`."""
        self.writes.append(batch)
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


async def test_what_arrives_meanwhile_is_gathered_in_order() -> None:
    client, table = Client(*(a_request(n, n + 100) for n in range(10))), Table()
    async with ingesting(client, table) as task:
        table.go.set()
        assert await task == 20
    # The first is stored, the second was prepared at once, and the others came meanwhile.
    assert [len(write) for write in table.writes] == [2, 2, 16]
    assert list(chain.from_iterable(table.numbers)) == list(chain.from_iterable((n, n + 100) for n in range(10)))
    assert table.writes[2][:3] == [
        (2, "requests[2].episodes[0]"),
        (102, "requests[2].episodes[1]"),
        (3, "requests[3].episodes[0]"),
    ]


async def test_a_stream_of_nothing_writes_nothing() -> None:
    table = Table()
    assert await ingest(Client().send(), "episodes", table.prepare, table.store) == 0
    assert table.writes == []


async def test_no_more_rows_are_read_ahead_than_one_write_takes() -> None:
    client, table = Client(*(a_request(*range(n * 300, n * 300 + 300)) for n in range(9))), Table()
    async with ingesting(client, table) as task:
        # One is being stored, one is prepared, three wait, and one more is in the hand of the reader.
        assert client.read == 6
        table.go.set()
        assert await task == 2700
    assert [len(write) for write in table.writes[:3]] == [300, 300, 900]
    assert max(map(len, table.writes)) <= MAX_ROWS
    assert list(chain.from_iterable(table.numbers)) == list(range(2700))


async def test_no_more_bytes_are_read_ahead_than_one_write_takes() -> None:
    client, table = Client(*(a_request(n, size=QUARTER + 1) for n in range(9))), Table()
    async with ingesting(client, table) as task:
        assert client.read == 6
        table.go.set()
        assert await task == 9
    assert table.numbers[:3] == [[0], [1], [2, 3, 4]]
    assert list(chain.from_iterable(table.numbers)) == list(range(9))


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
    assert table.numbers == [[1], [2], [3]]


@pytest.mark.parametrize("requests", [2, 2000])
async def test_a_write_that_fails_ends_the_reading(requests: int) -> None:
    # Of the many, most still wait for room.
    client, table = Client(*(a_request(n) for n in range(requests)), end=False), Table()
    async with ingesting(client, table) as task:
        table.fault = ValueError("no")
        table.go.set()
        with pytest.raises(ValueError, match="no"):
            await task
        assert len(table.writes) == 1


async def test_of_two_batches_that_fail_the_first_is_told_of() -> None:
    client, table = Client(a_request(1), a_request(-1)), Table()
    async with ingesting(client, table) as task:
        table.fault = ValueError("no")
        table.go.set()
        with pytest.raises(ValueError, match="no"):
            await task


async def test_what_cannot_be_prepared_ends_it_after_those_before() -> None:
    client, table = Client(a_request(1), a_request(-1), a_request(2), end=False), Table()
    async with ingesting(client, table) as task:
        table.go.set()
        with pytest.raises(LookupError):
            await task
    assert table.numbers == [[1]]


@pytest.mark.parametrize("requests", [2, 2000])
async def test_a_cancelled_call_ends_both(requests: int) -> None:
    client, table = Client(*(a_request(n) for n in range(requests)), end=False), Table()
    async with ingesting(client, table) as task:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(table.writes) == 1
