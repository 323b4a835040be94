"""Bulk writes by client streaming: what is prepared, stored and read at the same time, and which error is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from ai_grpc.errors import InvalidArgument, Violation
from ai_grpc.ingest import MAX_ROWS, ingest
from ai_grpc.v1.features_pb2 import FeatureVector, PutFeatureStreamRequest


def request(*symbols: str) -> PutFeatureStreamRequest:
    """A request that brings these."""
    return PutFeatureStreamRequest(vectors=[FeatureVector(symbol=symbol) for symbol in symbols])


async def stream(*requests: PutFeatureStreamRequest) -> AsyncIterator[PutFeatureStreamRequest]:
    """The requests, each when the one before has been taken."""
    for each in requests:
        yield each
        await asyncio.sleep(0)


class Desk:
    """Prepares and stores; what is told to fail fails."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.stored: list[str] = []
        self.places: list[str] = []
        self.may_store = asyncio.Event()
        self.prepared = asyncio.Queue[str](10)

    async def prepare(self, items: Sequence[FeatureVector], places: Sequence[str]) -> list[str]:
        symbols = [item.symbol for item in items]
        self.places += places
        self._fail("prepare", symbols)
        await self.prepared.put(symbols[0])
        return symbols

    async def store(self, symbols: list[str]) -> None:
        await self.may_store.wait()
        self._fail("store", symbols)
        self.stored += symbols

    def _fail(self, step: str, symbols: list[str]) -> None:
        for symbol in symbols:
            if f"{step} {symbol}" in self.failing:
                raise InvalidArgument(Violation(symbol, step))


async def test_items_are_stored_in_their_order_and_know_their_places() -> None:
    desk = Desk()
    desk.may_store.set()
    assert await ingest(stream(request("a", "b"), request("c")), "vectors", desk.prepare, desk.store) == 3
    assert desk.stored == ["a", "b", "c"]
    assert desk.places == ["requests[0].vectors[0]", "requests[0].vectors[1]", "requests[1].vectors[0]"]


async def test_the_next_batch_is_prepared_while_one_is_stored_and_reading_stops_then() -> None:
    desk = Desk()
    taken: list[int] = []

    async def endless() -> AsyncIterator[PutFeatureStreamRequest]:
        for number in range(100):
            taken.append(number)
            yield request(*[str(number)] * MAX_ROWS)

    task = asyncio.create_task(ingest(endless(), "vectors", desk.prepare, desk.store))
    assert [await asyncio.wait_for(desk.prepared.get(), 5) for _ in range(2)] == ["0", "1"]
    for _ in range(100):
        await asyncio.sleep(0)
    # One is stored, one prepared, one waits, and one was read to see that it does not fit.
    assert (desk.stored, desk.prepared.empty(), taken) == ([], True, [0, 1, 2, 3])
    desk.may_store.set()
    for _ in range(98):
        await asyncio.wait_for(desk.prepared.get(), 5)
    assert await task == 100 * MAX_ROWS


@pytest.mark.parametrize(
    ("failing", "told", "stored"),
    [
        (["prepare b"], "b prepare", ["a"]),
        (["store a", "prepare b"], "a store", []),
        (["store b"], "b store", ["a"]),
    ],
)
async def test_the_first_item_at_fault_is_told_and_what_came_before_is_stored(
    failing: list[str], told: str, stored: list[str]
) -> None:
    desk = Desk(*failing)
    requests = stream(request("a"), request(*["b"] * MAX_ROWS), request("c"))
    task = asyncio.create_task(ingest(requests, "vectors", desk.prepare, desk.store))
    await asyncio.wait_for(desk.prepared.get(), 5)
    desk.may_store.set()
    with pytest.raises(InvalidArgument, match=told):
        await task
    assert desk.stored == stored


async def test_nothing_goes_on_when_the_stream_is_cancelled() -> None:
    desk = Desk()
    task = asyncio.create_task(ingest(stream(request("a"), request("b")), "vectors", desk.prepare, desk.store))
    await asyncio.wait_for(desk.prepared.get(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}
