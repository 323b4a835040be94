"""The performance of models as it is kept: repeated, refused, and listed."""

from __future__ import annotations

import math
import uuid
from datetime import date
from itertools import chain
from typing import Any, Final

import asyncpg
import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_grpc.v1 import models_pb2
from ai_grpc.v1 import performance_pb2 as pb
from ai_grpc.v1.models_pb2_grpc import ModelServiceStub
from ai_grpc.v1.performance_pb2_grpc import PerformanceServiceStub
from ai_grpc.v1.periods_pb2 import Period
from tests.exchange.test_events import BOUNDED
from tests.performance import GOLDEN, YEAR, an_update, days, performance
from tests.signals import an_active_model, an_exchange, details, execute, refusal, sort_always


async def test_a_repetition_returns_what_was_stored_first(database: str) -> None:
    async with an_exchange(database) as channel:
        stub, model_id = PerformanceServiceStub(channel), await an_active_model(channel)
        await days(channel, model_id, GOLDEN)
        request = an_update(model_id)
        first = await stub.UpdateModelPerformance(request)
        await days(channel, model_id, GOLDEN)
        again = await stub.UpdateModelPerformance(request)
        assert (first.duplicate, again.duplicate) == (False, True)
        assert again.performance == first.performance
        assert len(await execute(database, "SELECT FROM model_performance")) == 1


async def test_other_arguments_under_the_same_id_are_refused(database: str) -> None:
    async with an_exchange(database) as channel:
        stub, model_id = PerformanceServiceStub(channel), await an_active_model(channel)
        request = an_update(model_id)
        await stub.UpdateModelPerformance(request)
        changed: list[dict[str, Any]] = [
            {"model_id": await an_active_model(channel)},
            {"evaluation_period": Period(start_date="2026-01-01", end_date="2026-12-31")},
            {"periods_per_year": 365},
            {"risk_free": 0.1},
        ]
        for changes in changed:
            other = an_update(**{"model_id": model_id, "performance_id": request.performance_id, **changes})
            error = await refusal(stub.UpdateModelPerformance(other))
            assert error.code() == grpc.StatusCode.ALREADY_EXISTS
            assert details(error)[:2] == ("MODEL_PERFORMANCE_EXISTS", {"performance_id": request.performance_id})


async def test_an_unknown_model_is_not_found(database: str) -> None:
    async with an_exchange(database) as channel:
        stub, model_id = PerformanceServiceStub(channel), str(uuid.uuid4())
        for call in (
            performance(channel, model_id),
            stub.GetModelPerformanceHistory(pb.GetModelPerformanceHistoryRequest(model_id=model_id)),
            stub.GetCalibration(pb.GetCalibrationRequest(model_id=model_id)),
        ):
            error = await refusal(call)
            assert error.code() == grpc.StatusCode.NOT_FOUND
            assert details(error)[:2] == ("MODEL_NOT_FOUND", {"model_id": model_id})


DATES: Final = st.dates().map(str) | st.sampled_from(["", "9999-12-31", "0001-01-01", "2026-02-30", "today"])
REFUSALS: Final = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
UPDATE_FAULTS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"performance_id": ""}, "performance_id"),
    ({"performance_id": "1"}, "performance_id"),
    ({"model_id": ""}, "model_id"),
    ({"model_id": "1"}, "model_id"),
    ({"evaluation_period": None}, "evaluation_period"),
    ({"evaluation_period": Period()}, "evaluation_period.start_date"),
    (
        {"evaluation_period": Period(start_date="2026-01-01", end_date="2026-01-01")},
        "evaluation_period.end_date",
    ),
    ({"periods_per_year": 0}, "periods_per_year"),
    ({"periods_per_year": -252}, "periods_per_year"),
    ({"periods_per_year": math.nan}, "periods_per_year"),
    ({"periods_per_year": math.inf}, "periods_per_year"),
    ({"risk_free": 1.5}, "risk_free"),
    ({"risk_free": math.nan}, "risk_free"),
    ({"risk_free": -math.inf}, "risk_free"),
]
FAULTS: Final[list[tuple[str, Any, str]]] = [
    ("GetModelPerformanceHistory", pb.GetModelPerformanceHistoryRequest(), "model_id"),
    ("GetModelPerformanceHistory", pb.GetModelPerformanceHistoryRequest(model_id="1"), "model_id"),
    ("GetModelPerformanceHistory", pb.GetModelPerformanceHistoryRequest(page_size=-1), "page_size"),
    ("GetLatestModelPerformance", pb.GetLatestModelPerformanceRequest(model_id="1"), "model_id"),
    ("GetLatestModelPerformance", pb.GetLatestModelPerformanceRequest(page_token="next"), "page_token"),
    ("GetCalibration", pb.GetCalibrationRequest(), "model_id"),
    ("GetCalibration", pb.GetCalibrationRequest(model_id="1"), "model_id"),
    ("GetCalibration", pb.GetCalibrationRequest(bucket_count=-1), "bucket_count"),
    ("GetCalibration", pb.GetCalibrationRequest(bucket_count=101), "bucket_count"),
    ("GetCalibration", pb.GetCalibrationRequest(evaluation_period=Period()), "evaluation_period.start_date"),
]


async def test_what_cannot_be_computed_names_the_field_at_fault(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        await days(channel, model_id, GOLDEN)
        for changes, field in UPDATE_FAULTS:
            with subtests.test(str(changes)):
                error = await refusal(performance(channel, **{"model_id": model_id, **changes}))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, [field])
    assert await execute(database, "SELECT FROM model_performance") == []


async def test_the_field_at_fault_is_named(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        for method, request, field in FAULTS:
            with subtests.test(method, field=field):
                error = await refusal(getattr(PerformanceServiceStub(channel), method)(request))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, [field])


async def test_the_history_of_a_model_is_what_was_computed_the_latest_first(database: str) -> None:
    january = Period(start_date="2026-01-01", end_date="2026-02-01")
    async with an_exchange(database) as channel:
        stub, model_id = PerformanceServiceStub(channel), await an_active_model(channel)
        await performance(channel, await an_active_model(channel))
        made = [await performance(channel, model_id, evaluation_period=each) for each in (YEAR, january, YEAR) * 2]
        request = pb.GetModelPerformanceHistoryRequest(model_id=model_id, page_size=4)
        pages: list[list[pb.ModelPerformance]] = []
        while not pages or request.page_token:
            response = await stub.GetModelPerformanceHistory(request)
            pages.append(list(response.performances))
            request.page_token = response.next_page_token
        assert [len(page) for page in pages] == [4, 2]
        assert list(chain.from_iterable(pages)) == made[::-1]
        selected = pb.GetModelPerformanceHistoryRequest(model_id=model_id, evaluation_period=january)
        assert (await stub.GetModelPerformanceHistory(selected)).performances == [made[4], made[1]]


async def test_all_pages_together_hold_every_performance_once_even_of_one_time(database: str) -> None:
    await sort_always(database)
    async with an_exchange(database) as channel:
        stub, models = PerformanceServiceStub(channel), [await an_active_model(channel) for _ in range(7)]
        made = [await performance(channel, model_id) for model_id in (*models[:6], *[models[6]] * 7)]
        await execute(database, "UPDATE model_performance SET created_at = now()")
        history: Any = pb.GetModelPerformanceHistoryRequest(model_id=models[6], page_size=3)
        latest: Any = pb.GetLatestModelPerformanceRequest(page_size=3)
        own = sorted((each.performance_id for each in made[6:]), reverse=True)
        others = sorted(
            made[:6] + [each for each in made if each.performance_id == own[0]], key=lambda one: one.model_id
        )
        for method, request, expected in (
            (stub.GetModelPerformanceHistory, history, own),
            (stub.GetLatestModelPerformance, latest, [each.performance_id for each in others]),
        ):
            pages: list[list[str]] = []
            while not pages or request.page_token:
                response = await method(request)
                pages.append([each.performance_id for each in response.performances])
                request.page_token = response.next_page_token
            assert list(chain.from_iterable(pages)) == expected


async def test_the_latest_are_one_for_each_active_model(database: str) -> None:
    async with an_exchange(database) as channel:
        stub = PerformanceServiceStub(channel)
        models = [await an_active_model(channel) for _ in range(5)]
        latest = [[await performance(channel, model_id) for model_id in models[:4]] for _ in range(3)][-1]
        off = models_pb2.SetModelActiveRequest(model_id=models[1], active=False)
        await ModelServiceStub(channel).SetModelActive(off)
        request = pb.GetLatestModelPerformanceRequest(page_size=2)
        pages: list[list[pb.ModelPerformance]] = []
        while not pages or request.page_token:
            response = await stub.GetLatestModelPerformance(request)
            pages.append(list(response.performances))
            request.page_token = response.next_page_token
        expected = sorted((latest[0], latest[2], latest[3]), key=lambda one: one.model_id)
        assert pages == [expected[:2], expected[2:]]
        for model_id, found in ((models[0], [latest[0]]), (models[1], []), (models[4], [])):
            one = pb.GetLatestModelPerformanceRequest(model_id=model_id)
            assert (await stub.GetLatestModelPerformance(one)).performances == found


async def test_a_model_that_is_computed_anew_between_two_pages_is_on_one_of_them(database: str) -> None:
    async with an_exchange(database) as channel:
        stub = PerformanceServiceStub(channel)
        models = sorted([await an_active_model(channel) for _ in range(4)])
        for model_id in models:
            await performance(channel, model_id)
        first = await stub.GetLatestModelPerformance(pb.GetLatestModelPerformanceRequest(page_size=2))
        for model_id in models:
            await performance(channel, model_id)
        request = pb.GetLatestModelPerformanceRequest(page_size=2, page_token=first.next_page_token)
        rest = await stub.GetLatestModelPerformance(request)
        assert [one.model_id for one in (*first.performances, *rest.performances)] == models


async def test_a_performance_bears_the_moment_of_what_was_known(database: str) -> None:
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
    # Of two computations, the one that began later knows more, whichever ends first.
    ask = "SELECT (u.performance).created_at = statement_timestamp() FROM update_model_performance($1, $2) AS u"
    period = asyncpg.Range(date(2026, 1, 1), date(2027, 1, 1))
    assert (await execute(database, ask, model_id, period))[0][0]


@BOUNDED
@given(
    requests=st.lists(
        st.builds(
            an_update,
            model_id=st.sampled_from(["", "a\0b", "0e8a7b2c-0000-4000-8000-00000000000a"]) | st.none(),
            performance_id=st.text(max_size=5) | st.uuids().map(str),
            evaluation_period=st.none() | st.builds(Period, start_date=DATES, end_date=DATES),
            periods_per_year=st.none() | st.floats(),
            risk_free=st.none() | st.floats(),
        ),
        min_size=20,
        max_size=20,
    )
)
async def test_whatever_is_asked_is_computed_or_refused_by_name(
    database: str, requests: list[pb.UpdateModelPerformanceRequest]
) -> None:
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        await days(channel, model_id, GOLDEN)
        refused = []
        for request in requests:
            request.model_id = request.model_id or model_id
            try:
                await PerformanceServiceStub(channel).UpdateModelPerformance(request)
            except grpc.aio.AioRpcError as error:
                refused.append((request, error.code(), details(error)))
        strange = [each for each in refused if each[1] not in REFUSALS or not (each[2].fields or each[2].metadata)]
        assert strange == []
        stored = await execute(database, "SELECT FROM model_performance WHERE model_id = $1", model_id)
        assert len(stored) == len(requests) - len(refused)
