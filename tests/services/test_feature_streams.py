"""Many features: the server holds a few requests, or a page, whatever is sent or read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import grpc
import psutil

from ai_grpc.v1 import features_pb2 as pb
from ai_grpc.v1.features_pb2_grpc import FeatureServiceStub
from tests.faults.database import administrator, until
from tests.server import serving
from tests.services.test_features import SET, a_vector, at
from tests.signals import an_exchange

COUNT: Final = 20_000
SIZE: Final = 500
# Four times that, if it kept the vectors of the test.
MOST_BYTES: Final = 8 * 1024 * 1024
BUSY: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'ai_grpc reads' AND state <> 'idle'
"""


def requests(first: int) -> Iterator[pb.PutFeatureStreamRequest]:
    """COUNT vectors, a second apart."""
    for start in range(first, first + COUNT, SIZE):
        yield pb.PutFeatureStreamRequest(vectors=[a_vector(n) for n in range(start, start + SIZE)])


@asynccontextmanager
async def growth(pid: int) -> AsyncIterator[list[int]]:
    """The memory of a process, before and meanwhile."""
    process = psutil.Process(pid)
    sizes = [process.memory_info().rss]

    async def sample() -> None:
        while True:
            await asyncio.sleep(0.01)
            sizes.append(process.memory_info().rss)

    sampling = asyncio.create_task(sample())
    try:
        yield sizes
    finally:
        sampling.cancel()


async def read(channel: grpc.aio.Channel) -> AsyncIterator[int]:
    """How many vectors each message of a read of everything brings."""
    request = pb.ReadFeaturesRequest(feature_set_name=SET, start_time=at(0), end_time=at(1e6))
    async for response in FeatureServiceStub(channel).ReadFeatures(request):
        yield len(response.vectors)


async def test_the_memory_of_the_server_stays_as_it_is_however_much_is_put_and_read(
    database: str, tmp_path: Path
) -> None:
    async with (
        asyncio.timeout(60),
        serving(database, tmp_path / "server.log") as server,
        grpc.aio.insecure_channel(server.target) as channel,
    ):
        stub = FeatureServiceStub(channel)
        # What it needs once.
        await stub.PutFeatureStream(requests(0))
        assert sum([size async for size in read(channel)]) == COUNT
        async with growth(server.pid) as sizes:
            assert (await stub.PutFeatureStream(requests(COUNT))).stored == COUNT
            assert sum([size async for size in read(channel)]) == 2 * COUNT
        assert max(sizes) - sizes[0] < MOST_BYTES


async def test_a_reader_that_pauses_holds_nothing_of_the_database(database: str) -> None:
    async with an_exchange(database, read_pool_size=1) as channel, administrator(database) as admin:
        stub = FeatureServiceStub(channel)
        large = [a_vector(n, extraction_method="x" * 50) for n in range(SIZE)]
        await stub.PutFeatureStream(pb.PutFeatureStreamRequest(vectors=large) for _ in range(1))
        await stub.PutFeatureStream(requests(SIZE))
        responses = aiter(read(channel))
        count = await anext(responses)
        # With a pool of one connection, others are served meanwhile.
        look_up = pb.GetLatestFeaturesRequest(symbols=["AAPL"], feature_set_names=[SET])
        for _ in range(10):
            await stub.GetLatestFeatures(look_up, timeout=20)
        # The server may still read what it can send ahead.
        await until(admin, BUSY, 0)
        async for size in responses:
            count += size
        assert count == SIZE + COUNT
