"""Signals evaluated against prices: how it is asked for, stored, and repeated."""

from __future__ import annotations

import uuid
from typing import Any, Final

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.v1 import errors_pb2, signals_pb2
from ai_grpc.v1 import performance_pb2 as pb
from ai_grpc.v1.periods_pb2 import Period
from tests.performance import (
    after,
    an_evaluation,
    evaluate,
    hours,
    moved,
    on_day,
    performance,
    record,
    recorded,
    signals,
)
from tests.signals import SIGNAL_TIME, an_active_model, an_exchange, details, execute, refusal

SELL: Final = signals_pb2.SIGNAL_TYPE_SELL
HOLD: Final = signals_pb2.SIGNAL_TYPE_HOLD
Series = pb.EvaluateSignalsRequest.PriceSeries
Point = pb.EvaluateSignalsRequest.PricePoint
# The year of SIGNAL_TIME.
THEN: Final = Period(start_date="2023-01-01", end_date="2024-01-01")


async def test_signals_of_several_symbols_are_followed_stored_and_returned_in_their_order(database: str) -> None:
    async with an_exchange(database) as channel:
        levels = {"take_profit": "110", "stop_loss": "95"}
        ids = await signals(
            channel,
            await an_active_model(channel),
            levels,
            {"symbol": "MSFT", "signal_type": SELL, "take_profit": "90", "stop_loss": "105"},
            {"symbol": "MSFT"},
            {"symbol": "MSFT", "signal_type": HOLD, **levels},
        )
        series = moved("AAPL", "101", "112.5", "90"), moved("MSFT", "106.25", "104")
        response = await evaluate(channel, ids[::-1], *series)
        found = [result.evaluation for result in response.results][::-1]
        assert [evaluation.signal_id for evaluation in found] == ids
        assert [
            (one.actual_price, one.price_change_pct, one.target_hit, one.stop_loss_hit, one.pnl_if_executed)
            for one in found
        ] == [
            ("110", 10.0, True, False, "10"),
            ("106.25", 6.25, False, True, "-6.25"),
            ("104", 4.0, False, False, "4"),
            ("104", 4.0, False, False, "0"),
        ]
        assert [one.holding_period_hours for one in found] == [2.0, 1.0, 2.0, 2.0]
        assert [one.evaluation_time for one in found] == [after(2), after(1), after(2), after(2)]
        assert sorted(found, key=str) == sorted(await recorded(channel), key=str)


async def test_the_target_is_the_take_profit_or_else_the_price_target(database: str) -> None:
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        ids = await signals(
            channel, model_id, {"price_target": "105", "take_profit": "108"}, {"price_target": "105"}, {}
        )
        response = await evaluate(channel, ids, moved("AAPL", "106", "109", "101"))
        assert [result.evaluation.actual_price for result in response.results] == ["108", "105", "101"]


async def test_a_repetition_stores_nothing(database: str) -> None:
    async with an_exchange(database) as channel:
        ids = await signals(channel, await an_active_model(channel), {}, {"stop_loss": "99"})
        series = moved("AAPL", "98", "101.5")
        first = await evaluate(channel, ids, series)
        again = await evaluate(channel, [signal_id.upper() for signal_id in ids], series)
        assert [result.duplicate for result in (*first.results, *again.results)] == [False, False, True, True]
        assert [result.evaluation for result in again.results] == [result.evaluation for result in first.results]
        assert len(await recorded(channel)) == 2


async def test_more_prices_evaluate_anew_only_what_was_open(database: str) -> None:
    async with an_exchange(database) as channel:
        ids = await signals(channel, await an_active_model(channel), {"stop_loss": "99"}, {"stop_loss": "90"})
        await evaluate(channel, ids, moved("AAPL", "98", "97"))
        response = await evaluate(channel, ids, moved("AAPL", "98", "97", "96"))
        assert [result.duplicate for result in response.results] == [True, False]
        assert len(await recorded(channel, signal_id=ids[0])) == 1
        assert [one.actual_price for one in await recorded(channel, signal_id=ids[1])] == ["96", "97"]


async def test_a_trade_that_has_ended_stays_ended_when_the_prices_come_piece_by_piece(database: str) -> None:
    async with an_exchange(database) as channel:
        levels = {"take_profit": "110", "stop_loss": "95"}
        model_id = await an_active_model(channel)
        ids = await signals(channel, model_id, levels, {**levels, "stop_loss": "90"})
        [stopped, still] = (await evaluate(channel, ids, moved("AAPL", "101", "94"))).results
        assert (stopped.evaluation.stop_loss_hit, still.evaluation.stop_loss_hit) == (True, False)
        later = moved("AAPL", "101", "94", "111").prices[2:]
        [again, ended] = (await evaluate(channel, ids, Series(symbol="AAPL", prices=later))).results
        assert (again.evaluation, again.duplicate) == (stopped.evaluation, True)
        assert (ended.evaluation.target_hit, ended.duplicate) == (True, False)
        # Nor does it need prices any more.
        [known, none] = (await evaluate(channel, ids)).results
        assert (known.evaluation, none.evaluation) == (stopped.evaluation, ended.evaluation)
        assert len(await recorded(channel)) == 3
        found = await performance(channel, model_id, evaluation_period=THEN)
        assert (found.evaluated_signals, found.successful_signals, found.win_rate) == (2, 1, 0.5)


async def test_an_earlier_end_that_finer_prices_show_is_the_one_that_counts(database: str) -> None:
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        ids = await signals(channel, model_id, {"take_profit": "110", "stop_loss": "95"})
        coarse = Series(symbol="AAPL", prices=moved("AAPL", "94", "111").prices[1:])
        [hit] = (await evaluate(channel, ids, coarse)).results
        assert hit.evaluation.target_hit
        [stopped] = (await evaluate(channel, ids, moved("AAPL", "94", "111"))).results
        assert (stopped.evaluation.stop_loss_hit, stopped.duplicate) == (True, False)
        assert (await evaluate(channel, ids, coarse)).results[0].evaluation == stopped.evaluation
        found = await performance(channel, model_id, evaluation_period=THEN)
        assert (found.evaluated_signals, found.successful_signals) == (1, 0)
    [row] = await execute(database, "SELECT stop_loss_hit FROM enriched_ai_signals")
    assert row["stop_loss_hit"]


async def test_what_comes_after_an_end_counts_in_no_period(database: str) -> None:
    january, february = (
        Period(start_date="2026-01-01", end_date="2026-02-01"),
        Period(start_date="2026-02-01", end_date="2026-03-01"),
    )
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        [ended, open_] = await signals(channel, model_id, {}, {})
        await record(
            channel,
            an_evaluation(ended, evaluation_time=on_day(30), stop_loss_hit=True, price_change_pct=-5),
            an_evaluation(ended, evaluation_time=on_day(31), target_hit=True),
            an_evaluation(open_, evaluation_time=on_day(30)),
            an_evaluation(open_, evaluation_time=on_day(31), target_hit=True),
        )
        counts = [
            (found.evaluated_signals, found.successful_signals)
            for found in [await performance(channel, model_id, evaluation_period=each) for each in (january, february)]
        ]
        assert counts == [(2, 1), (1, 1)]


async def test_a_corrected_price_makes_an_evaluation_of_its_own_which_counts(database: str) -> None:
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        ids = await signals(channel, model_id, {}, {"symbol": "MSFT"})
        [first] = (await evaluate(channel, ids[:1], moved("AAPL", "101"))).results
        [second, other] = (await evaluate(channel, ids, moved("AAPL", "99"), moved("MSFT", "7"))).results
        assert (first.duplicate, second.duplicate, other.duplicate) == (False, False, False)
        assert second.evaluation.evaluation_time == first.evaluation.evaluation_time
        [same] = (await evaluate(channel, ids[:1], moved("AAPL", "99.00"))).results
        assert (same.evaluation, same.duplicate) == (second.evaluation, True)
        assert len(await recorded(channel, signal_id=ids[0])) == 2
        found = await performance(channel, model_id, evaluation_period=THEN)
        assert (found.evaluated_signals, found.successful_signals) == (2, 0)
    rows = await execute(database, "SELECT actual_price FROM enriched_ai_signals WHERE symbol = 'AAPL'")
    assert [row["actual_price"] for row in rows] == [99]


async def test_a_signal_that_cannot_be_evaluated_says_why_and_the_others_are_stored(database: str) -> None:
    async with an_exchange(database) as channel:
        changes: list[tuple[dict[str, Any], str]] = [
            ({"reference_price": ""}, "it has no positive reference_price"),
            ({"reference_price": "0"}, "it has no positive reference_price"),
            ({"take_profit": "99"}, "its target is not above its reference_price"),
            ({"stop_loss": "101"}, "its stop_loss is not below its reference_price"),
            ({"symbol": "MSFT"}, "there are no prices of MSFT"),
            ({"signal_time": after(1)}, "there is no price after it"),
        ]
        model_id = await an_active_model(channel)
        ids = await signals(channel, model_id, *(each for each, _ in changes), {})
        *errors, last = (await evaluate(channel, ids, moved("AAPL", "101"))).results
        for signal_id, (_, cause), result in zip(ids, changes, errors, strict=False):
            assert (result.error.code, result.error.reason) == (9, errors_pb2.ERROR_REASON_SIGNAL_NOT_EVALUABLE)
            assert result.error.metadata == {"signal_id": signal_id, "cause": cause}
            assert result.error.message == f"signal {signal_id} cannot be evaluated: {cause}"
        assert await recorded(channel) == [last.evaluation]
        again = await evaluate(channel, ids[:-1], moved("AAPL", "101"))
        assert [result.error for result in again.results] == [result.error for result in errors]


async def test_a_signal_that_was_never_published_is_not_found(database: str) -> None:
    async with an_exchange(database) as channel:
        ids = [*await signals(channel, await an_active_model(channel), {}), str(uuid.uuid4())]
        error = await refusal(evaluate(channel, ids, moved("AAPL", "101")))
        assert error.code() == grpc.StatusCode.NOT_FOUND
        assert details(error)[:2] == ("SIGNAL_NOT_FOUND", {"signal_id": ids[1]})
        assert await recorded(channel) == []


async def test_a_signal_is_followed_no_longer_than_is_asked(database: str) -> None:
    async with an_exchange(database) as channel:
        ids = await signals(channel, await an_active_model(channel), {"expire_time": after(0.5)})
        series = moved("AAPL", "101", "102", "103")
        [result] = (await evaluate(channel, ids, series, max_holding_period=hours(2))).results
        assert (result.evaluation.actual_price, result.evaluation.holding_period_hours) == ("102", 2.0)
        [result] = (await evaluate(channel, ids, series)).results
        assert (result.evaluation.actual_price, result.evaluation.holding_period_hours) == ("103", 3.0)
        [result] = (await evaluate(channel, ids, series, max_holding_period=hours(0.9))).results
        assert result.error.metadata["cause"] == "there is no price after it"


async def test_a_signal_made_from_the_past_is_followed_from_there(database: str) -> None:
    async with an_exchange(database) as channel:
        market = {"signal_time": on_day(0), "market_data_time": SIGNAL_TIME, "expire_time": on_day(1)}
        ids = await signals(channel, await an_active_model(channel), market, {})
        results = (await evaluate(channel, ids, moved("AAPL", "101"), use_market_data_time=True)).results
        assert (results[0].evaluation.actual_price, results[0].evaluation.evaluation_time) == ("101", after(1))
        assert results[1].error.metadata["cause"] == "it has no market_data_time"
        results = (await evaluate(channel, ids, moved("AAPL", "101"))).results
        assert [result.WhichOneof("outcome") for result in results] == ["error", "evaluation"]


async def test_what_was_published_just_now_is_evaluated_whatever_the_replica_knows(
    database: str, empty_database: str
) -> None:
    async with an_exchange(database, read_database_url=empty_database) as channel:
        ids = await signals(channel, await an_active_model(channel), {})
        [result] = (await evaluate(channel, ids, moved("AAPL", "101"))).results
        assert result.evaluation.actual_price == "101"


async def test_a_thousand_signals_are_evaluated_against_ten_thousand_prices(database: str) -> None:
    async with an_exchange(database) as channel:
        ids = await signals(channel, await an_active_model(channel), *[{"stop_loss": "99"}] * 1000)
        response = await evaluate(channel, ids, moved("AAPL", *["101", "100"] * 4999, "101", "98.5"))
        assert {result.evaluation.actual_price for result in response.results} == {"98.5"}
        assert len(await execute(database, "SELECT FROM signal_performance")) == 1000


async def test_a_hundred_symbols_of_32_characters_are_evaluated_at_once(database: str) -> None:
    async with an_exchange(database) as channel:
        symbols = [f"{number:€>32}" for number in range(100)]
        ids = await signals(channel, await an_active_model(channel), *({"symbol": symbol} for symbol in symbols))
        results = (await evaluate(channel, ids, *(moved(symbol, "101") for symbol in symbols))).results
        assert [result.evaluation.signal_id for result in results] == ids


def points(*prices: dict[str, Any]) -> dict[str, Any]:
    """A request with one series, of a price that is good and these."""
    return {
        "series": [
            Series(symbol="AAPL", prices=[Point(time=after(1), price="1"), *map(lambda each: Point(**each), prices)])
        ]
    }


FAULTS: Final[list[tuple[dict[str, Any], list[str]]]] = [
    ({"signal_ids": []}, ["signal_ids"]),
    ({"signal_ids": ["a"] * 1001}, ["signal_ids"]),
    ({"signal_ids": ["", "1"]}, ["signal_ids[0]", "signal_ids[1]"]),
    (
        {"signal_ids": ["0e8a7b2c-0000-4000-8000-00000000000a", "0E8A7B2C-0000-4000-8000-00000000000A"]},
        ["signal_ids[1]"],
    ),
    ({"max_holding_period": Duration()}, ["max_holding_period"]),
    ({"max_holding_period": Duration(seconds=-1)}, ["max_holding_period"]),
    ({"series": [Series(symbol="AAPL", prices=[Point(time=after(1), price="1")])] * 2}, ["series[1].symbol"]),
    ({"series": [Series(symbol=str(n), prices=[Point(time=after(1), price="1")]) for n in range(101)]}, ["series"]),
    (
        {"series": [Series(prices=[Point(time=after(1), price="1")]), Series(symbol="x" * 33)]},
        ["series[0].symbol", "series[1].symbol", "series[1].prices"],
    ),
    (
        {"series": [Series(symbol="AAPL", prices=[Point(time=after(n), price="1") for n in range(10_001)])]},
        ["series[0].prices"],
    ),
    (points({"price": "1"}), ["series[0].prices[1].time"]),
    (points({"time": Timestamp(seconds=2**60), "price": "1"}), ["series[0].prices[1].time"]),
    (points({"time": Timestamp(seconds=1_800_000_000, nanos=-1), "price": "1"}), ["series[0].prices[1].time"]),
    (points({"time": after(1), "price": "1"}), ["series[0].prices[1].time"]),
    (points({"time": after(0.5), "price": "1"}), ["series[0].prices[1].time"]),
    (points({"time": after(2)}), ["series[0].prices[1].price"]),
    (points({"time": after(2), "price": "NaN"}), ["series[0].prices[1].price"]),
    (points({"time": after(2), "price": "1e5"}), ["series[0].prices[1].price"]),
    (points({"time": after(2), "price": "0.1234567"}), ["series[0].prices[1].price"]),
    (
        points({"time": after(2), "price": "1000000000"}, {"price": "1"}),
        ["series[0].prices[1].price", "series[0].prices[2].time"],
    ),
]


async def test_the_fields_at_fault_are_named(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        ids = await signals(channel, await an_active_model(channel), {})
        for changes, fields in FAULTS:
            with subtests.test(str(fields), changes=str(changes)[:100]):
                request = {"signal_ids": ids, **changes}
                error = await refusal(
                    evaluate(channel, request.pop("signal_ids"), *request.pop("series", []), **request)
                )
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, fields)
        assert await recorded(channel) == []


async def test_an_answer_to_a_thousand_faults_stays_short(database: str) -> None:
    async with an_exchange(database) as channel:
        ids = await signals(channel, await an_active_model(channel), {})
        faulty = Series(symbol="AAPL", prices=[Point(price="x") for _ in range(10_000)])
        error = await refusal(evaluate(channel, ids, faulty))
        assert details(error).fields[:2] == ["series[0].prices[0].time", "series[0].prices[0].price"]
