"""What a subscriber to the performance of models gets."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import grpc
import pytest
from asyncpg import Range

from ai_grpc.v1 import performance_pb2 as pb
from ai_grpc.v1 import streams_pb2
from ai_grpc.v1.performance_pb2_grpc import PerformanceServiceStub
from tests.anomalies import session
from tests.performance import GOLDEN, an_update, days, performance
from tests.signals import an_active_model, an_exchange, details, refusal

Subscription = grpc.aio.UnaryStreamCall[pb.SubscribeModelPerformanceRequest, pb.SubscribeModelPerformanceResponse]
EARLIEST: Final = streams_pb2.Earliest()
LATEST: Final = streams_pb2.Latest()


def subscribe(channel: grpc.aio.Channel, **request: Any) -> Subscription:
    return PerformanceServiceStub(channel).SubscribeModelPerformance(pb.SubscribeModelPerformanceRequest(**request))


async def started(call: Subscription) -> pb.SubscribeModelPerformanceResponse:
    first = await anext(aiter(call))
    assert first.HasField("started")
    return first


async def events(call: Subscription, count: int) -> list[pb.ModelPerformanceEvent]:
    """The next events, so many and no more."""
    received: list[pb.ModelPerformanceEvent] = []
    while len(received) < count:
        received += (await anext(aiter(call))).batch.events
    assert len(received) == count
    return received


async def test_an_event_brings_the_performance_as_it_was_answered(database: str) -> None:
    # Who waited for the next poll would be too late.
    async with an_exchange(database, poll_interval=60) as channel, an_exchange(database, poll_interval=60) as replica:
        model_id = await an_active_model(channel)
        streams = [subscribe(each, latest=LATEST) for each in (channel, replica)]
        for stream in streams:
            await started(stream)
        bare = await performance(channel, model_id)
        await days(channel, model_id, GOLDEN)
        full = await performance(channel, model_id, periods_per_year=365.25, risk_free=0.0001)
        streams += [subscribe(replica, earliest=EARLIEST)]
        for stream in streams:
            received = await events(stream, 2)
            assert [event.performance for event in received] == [bare, full]
            assert [event.sequence for event in received] == [1, 2]
            assert received[0].commit_time.ToMicroseconds() <= received[1].commit_time.ToMicroseconds()


async def test_an_open_transaction_holds_up_nobody_and_is_heard_when_it_commits(database: str) -> None:
    update = "SELECT (u.performance).performance_id::text FROM ai_trading.update_model_performance($1, $2) AS u"
    async with an_exchange(database) as channel:
        model_id, stream = await an_active_model(channel), subscribe(channel, latest=LATEST)
        await started(stream)
        psql = await session(database)
        async with psql.transaction():
            late = await psql.fetchval(update, model_id, Range(date(2026, 1, 1), date(2027, 1, 1)))
            early = await performance(channel, model_id)
            assert [event.performance for event in await events(stream, 1)] == [early]
        assert [event.performance.performance_id for event in await events(stream, 1)] == [late]
        await psql.close()


async def test_a_stream_goes_on_after_its_position(database: str) -> None:
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        made = [await performance(channel, model_id) for _ in range(3)]
        stream = subscribe(channel, earliest=EARLIEST, max_batch_size=1)
        await started(stream)
        # It may have caught up before the service heard of the events.
        first = await anext(message async for message in stream if message.HasField("batch"))
        assert [event.performance for event in first.batch.events] == made[:1]
        rest = await events(subscribe(channel, after=first.position), 2)
        assert [event.performance for event in rest] == made[1:]


async def test_a_repetition_and_a_refusal_make_no_event(database: str) -> None:
    async with an_exchange(database) as channel:
        stub, stream = PerformanceServiceStub(channel), subscribe(channel, latest=LATEST)
        await started(stream)
        request = an_update(await an_active_model(channel))
        for _ in range(2):
            await stub.UpdateModelPerformance(request)
        await refusal(stub.UpdateModelPerformance(an_update(request.model_id, periods_per_year=-1)))
        last = await performance(channel, request.model_id)
        received = await events(stream, 2)
        assert [event.performance.performance_id for event in received] == [request.performance_id, last.performance_id]


async def test_a_filter_lets_the_models_by_that_it_names(database: str) -> None:
    async with an_exchange(database) as channel:
        models = [await an_active_model(channel) for _ in range(3)]
        wanted = pb.ModelPerformanceFilter(model_ids=[models[0].upper(), models[2]])
        stream = subscribe(channel, latest=LATEST, filter=wanted)
        await started(stream)
        for model_id in models:
            await performance(channel, model_id)
        for each in (stream, subscribe(channel, earliest=EARLIEST, filter=wanted)):
            received = await events(each, 2)
            assert [event.performance.model_id for event in received] == [models[0], models[2]]


async def test_the_field_at_fault_is_named(database: str, subtests: pytest.Subtests) -> None:
    nobody = "0e8a7b2c-0000-4000-8000-00000000000a"
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "start"),
        ({"latest": LATEST, "max_batch_size": -1}, "max_batch_size"),
        ({"latest": LATEST, "filter": {"model_ids": ["1"]}}, "filter.model_ids[0]"),
        ({"latest": LATEST, "filter": {"model_ids": [nobody] * 1001}}, "filter.model_ids"),
    ]
    async with an_exchange(database) as channel:
        for request, field in cases:
            with subtests.test(field):
                error = await refusal(anext(aiter(subscribe(channel, **request))))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, [field])


async def test_a_position_of_another_log_or_beyond_the_head_is_refused(database: str) -> None:
    async with an_exchange(database) as channel:
        position = (await started(subscribe(channel, latest=LATEST))).position
        for sequence, epoch, expected in (
            (7, position.epoch, "POSITION_AHEAD"),
            (0, "0e8a7b2c-0000-4000-8000-00000000000a", "EPOCH_MISMATCH"),
        ):
            after = streams_pb2.Position(epoch=epoch, sequence=sequence)
            error = await refusal(anext(aiter(subscribe(channel, after=after))))
            assert details(error).reason == expected
