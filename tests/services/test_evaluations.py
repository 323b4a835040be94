"""Evaluations that somebody found out himself, recorded and listed."""

from __future__ import annotations

import asyncio
import math
import uuid
from itertools import chain
from typing import Any, Final

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from ai_grpc.v1 import performance_pb2 as pb
from ai_grpc.v1.performance_pb2_grpc import PerformanceServiceStub
from tests.exchange.test_events import BOUNDED
from tests.performance import an_evaluation, on_day, record, recorded, signals
from tests.signals import PATIENT, an_active_model, an_exchange, details, execute, refusal, sort_always

FAULTS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"performance_id": ""}, "performance_id"),
    ({"performance_id": "1"}, "performance_id"),
    ({"signal_id": ""}, "signal_id"),
    ({"signal_id": "1"}, "signal_id"),
    ({"evaluation_time": None}, "evaluation_time"),
    ({"evaluation_time": Timestamp(seconds=2**60)}, "evaluation_time"),
    ({"actual_price": ""}, "actual_price"),
    ({"actual_price": "a lot"}, "actual_price"),
    ({"actual_price": "NaN"}, "actual_price"),
    ({"actual_price": "1000000000"}, "actual_price"),
    ({"actual_price": "0.0000001"}, "actual_price"),
    ({"price_change_pct": None}, "price_change_pct"),
    ({"price_change_pct": math.nan}, "price_change_pct"),
    ({"price_change_pct": -math.inf}, "price_change_pct"),
    ({"price_change_pct": 1e21}, "price_change_pct"),
    ({"price_change_pct": 1e-300}, "price_change_pct"),
    ({"holding_period_hours": -0.5}, "holding_period_hours"),
    ({"holding_period_hours": math.nan}, "holding_period_hours"),
    ({"pnl_if_executed": "Infinity"}, "pnl_if_executed"),
    ({"pnl_if_executed": "1000000000000000"}, "pnl_if_executed"),
    ({"pnl_if_executed": "0.0000001"}, "pnl_if_executed"),
    # PostgreSQL would read these, the last two from version 16 on.
    *(({"actual_price": text}, "actual_price") for text in ("1e3", " 1", "+5", "07", "1.", ".5", "0x10", "1_000")),
    ({"pnl_if_executed": "1e999999"}, "pnl_if_executed"),
    ({"create_time": Timestamp(seconds=1)}, "create_time"),
]


async def test_an_evaluation_is_read_as_it_was_given(database: str) -> None:
    async with an_exchange(database) as channel:
        one, other = await signals(channel, await an_active_model(channel), {}, {})
        full = an_evaluation(one, target_hit=True, stop_loss_hit=True, evaluation_time=on_day(1))
        bare = an_evaluation(other, holding_period_hours=None, pnl_if_executed="")
        assert (await record(channel, full, bare)).duplicates == 0
        stored = await recorded(channel)
        assert all(evaluation.create_time.ToMicroseconds() > 0 for evaluation in stored)
        for evaluation in stored:
            evaluation.ClearField("create_time")
        assert stored == [full, bare]


async def test_evaluations_that_are_there_are_not_stored_twice(database: str) -> None:
    async with an_exchange(database) as channel:
        [signal_id] = await signals(channel, await an_active_model(channel), {})
        first, second = an_evaluation(signal_id), an_evaluation(signal_id)
        await record(channel, first)
        first.performance_id = first.performance_id.upper()
        assert (await record(channel, first, second)).duplicates == 1
        assert len(await recorded(channel)) == 2


async def test_other_content_under_the_same_id_is_refused_and_nothing_is_written(
    database: str, subtests: pytest.Subtests
) -> None:
    async with an_exchange(database) as channel:
        one, other = await signals(channel, await an_active_model(channel), {}, {})
        first = an_evaluation(one)
        await record(channel, first)
        changes: dict[str, Any] = {
            "signal_id": other,
            "evaluation_time": on_day(1),
            "actual_price": "7",
            "price_change_pct": 7.0,
            "target_hit": True,
            "stop_loss_hit": True,
            "holding_period_hours": None,
            "pnl_if_executed": "",
        }
        for field, value in changes.items():
            with subtests.test(field):
                given: dict[str, Any] = {"signal_id": one, "performance_id": first.performance_id, field: value}
                changed = an_evaluation(**given)
                error = await refusal(record(channel, an_evaluation(one), changed))
                assert error.code() == grpc.StatusCode.ALREADY_EXISTS
                assert details(error)[:2] == ("EVALUATION_EXISTS", {"performance_id": first.performance_id})
        assert len(await recorded(channel)) == 1


async def test_a_signal_that_was_never_published_is_not_found(database: str) -> None:
    async with an_exchange(database) as channel:
        [signal_id] = await signals(channel, await an_active_model(channel), {})
        unknown = str(uuid.uuid4())
        error = await refusal(record(channel, an_evaluation(signal_id), an_evaluation(unknown)))
        assert error.code() == grpc.StatusCode.NOT_FOUND
        assert details(error)[:2] == ("SIGNAL_NOT_FOUND", {"signal_id": unknown})
        assert await recorded(channel) == []


async def test_the_field_at_fault_is_named_and_nothing_is_written(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        [signal_id] = await signals(channel, await an_active_model(channel), {})
        for changes, field in FAULTS:
            with subtests.test(str(changes)):
                faulty = an_evaluation(**{"signal_id": signal_id, **changes})
                error = await refusal(record(channel, an_evaluation(signal_id), faulty, an_evaluation(signal_id)))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, [f"evaluations[1].{field}"])
        assert await recorded(channel) == []


async def test_a_batch_has_1_to_1000_evaluations_each_once(database: str) -> None:
    async with an_exchange(database) as channel:
        [signal_id] = await signals(channel, await an_active_model(channel), {})
        one = an_evaluation(signal_id)
        for batch, field in (([], "evaluations"), ([one, one], "evaluations[1].performance_id")):
            assert details(await refusal(record(channel, *batch))).fields == [field]
        assert details(await refusal(record(channel, *[one] * 1001))).fields == ["evaluations"]
        await record(channel, *(an_evaluation(signal_id) for _ in range(1000)))


async def test_two_repetitions_at_once_in_any_order_both_succeed(database: str) -> None:
    async with an_exchange(database, **PATIENT) as channel:
        [signal_id] = await signals(channel, await an_active_model(channel), {})
        batch = [an_evaluation(signal_id) for _ in range(500)]
        orders = [batch, batch[::-1]] * 4
        responses = await asyncio.gather(*(record(channel, *order) for order in orders))
        assert sum(response.duplicates for response in responses) == 7 * len(batch)


async def test_a_list_holds_what_all_its_fields_select_the_latest_first(database: str) -> None:
    async with an_exchange(database) as channel:
        models = [await an_active_model(channel) for _ in range(2)]
        one, other = [(await signals(channel, model, {}))[0] for model in models]
        made = [an_evaluation(signal_id, evaluation_time=on_day(day)) for signal_id in (one, other) for day in range(3)]
        await record(channel, *made)
        for selection, expected in (
            ({}, [2, 5, 1, 4, 0, 3]),
            ({"signal_id": one}, [2, 1, 0]),
            ({"model_id": models[1]}, [5, 4, 3]),
            ({"start_time": on_day(1)}, [2, 5, 1, 4]),
            ({"end_time": on_day(1)}, [0, 3]),
            ({"model_id": models[0], "start_time": on_day(1), "end_time": on_day(2)}, [1]),
            ({"signal_id": one, "model_id": models[1]}, []),
        ):
            listed = [evaluation.performance_id for evaluation in await recorded(channel, **selection)]
            days = [on_day(n % 3).seconds for n in expected]
            assert sorted(listed) == sorted(made[n].performance_id for n in expected), selection
            times = {evaluation.performance_id: evaluation.evaluation_time.seconds for evaluation in made}
            assert [times[performance_id] for performance_id in listed] == days


async def test_all_pages_together_hold_every_evaluation_once(database: str) -> None:
    await sort_always(database)
    async with an_exchange(database) as channel:
        [signal_id] = await signals(channel, await an_active_model(channel), {})
        made = [an_evaluation(signal_id, evaluation_time=on_day(n // 3)) for n in range(7)]
        await record(channel, *made)
        request = pb.ListEvaluationsRequest(page_size=3)
        pages: list[list[str]] = []
        while not pages or request.page_token:
            response = await PerformanceServiceStub(channel).ListEvaluations(request)
            pages.append([evaluation.performance_id for evaluation in response.evaluations])
            request.page_token = response.next_page_token
        assert [len(page) for page in pages] == [3, 3, 1]
        assert sorted(chain.from_iterable(pages)) == sorted(evaluation.performance_id for evaluation in made)


async def test_a_list_names_the_field_at_fault(database: str, subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"page_size": -1}, "page_size"),
        ({"page_token": "next"}, "page_token"),
        ({"signal_id": "1"}, "signal_id"),
        ({"model_id": "1"}, "model_id"),
        ({"start_time": Timestamp(seconds=2**60)}, "start_time"),
    ]
    async with an_exchange(database) as channel:
        for selection, field in cases:
            with subtests.test(field):
                request = pb.ListEvaluationsRequest(**selection)
                error = await refusal(PerformanceServiceStub(channel).ListEvaluations(request))
                assert details(error)[:3] == ("INVALID_FIELD", {}, [field])


async def test_an_evaluation_written_by_sql_has_the_model_of_its_signal(database: str) -> None:
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        [signal_id] = await signals(channel, model_id, {})
        insert = (
            "INSERT INTO signal_performance (signal_id, evaluation_timestamp, actual_price, price_change_pct)"
            " VALUES ($1, now(), 7, 0) RETURNING model_id::text"
        )
        assert [row["model_id"] for row in await execute(database, insert, signal_id)] == [model_id]
        assert len(await recorded(channel, model_id=model_id)) == 1


def good() -> st.SearchStrategy[dict[str, Any]]:
    """What an evaluation may say."""
    # The first and the last microsecond are infinities to asyncpg.
    micros = st.integers(-62_135_596_799_999_999, 253_402_300_799_999_998)
    times = micros.map(lambda time: Timestamp(seconds=time // 10**6, nanos=time % 10**6 * 1000))
    changes = st.just(0.0) | st.builds(lambda sign, size: sign * size, st.sampled_from([-1, 1]), st.floats(1e-20, 1e20))
    fields: dict[str, st.SearchStrategy[Any]] = {
        "evaluation_time": times,
        "actual_price": st.from_regex(r"(0|-?[1-9][0-9]{0,8})(\.[0-9]{0,5}[1-9])?", fullmatch=True),
        "price_change_pct": changes,
        "target_hit": st.booleans(),
        "stop_loss_hit": st.booleans(),
        "holding_period_hours": st.none() | st.floats(0, 1e9).map(lambda hours: hours + 0.0),
        "pnl_if_executed": st.just("") | st.from_regex(r"(0|-?[1-9][0-9]{0,14})(\.[0-9]{0,5}[1-9])?", fullmatch=True),
    }
    return st.fixed_dictionaries(fields)


def bad() -> st.SearchStrategy[dict[str, Any]]:
    """What an evaluation might say, but hardly may."""
    numbers = st.floats() | st.none()
    text = st.text(max_size=20) | st.from_regex(r"[-+]?[0-9_]{0,20}\.?[0-9]{0,8}(e[-+]?[0-9]{1,6})?", fullmatch=True)
    fields: dict[str, st.SearchStrategy[Any]] = {
        "evaluation_time": st.builds(Timestamp, seconds=st.integers(-(2**63), 2**63 - 1), nanos=st.integers(-5, 2**30)),
        "actual_price": text,
        "price_change_pct": numbers,
        "holding_period_hours": numbers,
        "pnl_if_executed": text,
        "performance_id": text,
    }
    return st.fixed_dictionaries({}, optional=fields).filter(bool)


@BOUNDED
@given(contents=st.lists(good(), min_size=1, max_size=20))
async def test_any_evaluations_are_read_as_they_were_given(database: str, contents: list[dict[str, Any]]) -> None:
    async with an_exchange(database) as channel:
        [signal_id] = await signals(channel, await an_active_model(channel), {})
        made = {one.performance_id: one for one in (an_evaluation(signal_id, **content) for content in contents)}
        await record(channel, *made.values())
        stored = await recorded(channel, signal_id=signal_id)
        for evaluation in stored:
            evaluation.ClearField("create_time")
        assert {evaluation.performance_id: evaluation for evaluation in stored} == made
        assert (await record(channel, *made.values())).duplicates == len(made)


@BOUNDED
@given(contents=st.lists(bad(), min_size=10, max_size=20))
async def test_whatever_is_said_is_stored_or_refused_by_name(database: str, contents: list[dict[str, Any]]) -> None:
    async with an_exchange(database) as channel:
        [signal_id] = await signals(channel, await an_active_model(channel), {})
        refused = []
        for content in contents:
            try:
                await record(channel, an_evaluation(signal_id, **content))
            except grpc.aio.AioRpcError as error:
                refused.append((content, error.code(), details(error).fields))
        assert [each for each in refused if each[1] != grpc.StatusCode.INVALID_ARGUMENT or not each[2]] == []
        assert len(await recorded(channel, signal_id=signal_id)) == len(contents) - len(refused)
