"""The performance of a model, computed from the evaluations of its signals."""

from __future__ import annotations

import math
import random
import warnings
from typing import Any, Final

import empyrical
import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.v1 import signals_pb2
from ai_grpc.v1.periods_pb2 import Period
from tests.performance import GOLDEN, YEAR, an_evaluation, days, on_day, performance, record, signals
from tests.signals import an_active_model, an_exchange, execute

BUY: Final = signals_pb2.SIGNAL_TYPE_BUY
SELL: Final = signals_pb2.SIGNAL_TYPE_SELL
HOLD: Final = signals_pb2.SIGNAL_TYPE_HOLD
DAY: Final = 86_400_000_000
METRICS: Final = ("sharpe_ratio", "max_drawdown", "total_return", "volatility", "risk_adjusted_return")


async def test_the_performance_of_known_returns_is_known(database: str) -> None:
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        await days(channel, model_id, GOLDEN)
        found = await performance(channel, model_id)
        assert (found.model_id, found.evaluation_period) == (model_id, YEAR)
        assert (found.total_signals, found.evaluated_signals, found.successful_signals) == (8, 8, 4)
        expected = {
            "signal_accuracy": 0.5,
            "avg_confidence": 0.75,
            "sharpe_ratio": 4.755563543407302,
            "max_drawdown": 0.02,
            "total_return": 0.03970268023390977,
            "volatility": 0.26495282598983544,
            "win_rate": 4 / 7,
            "avg_holding_period_hours": 36.5,
            "risk_adjusted_return": (1.03970268023390977 ** (252 / 8) - 1) / 0.02,
            "periods_per_year": 252,
            "risk_free": 0,
        }
        assert {name: getattr(found, name) for name in expected} == pytest.approx(expected, rel=1e-9)
        found = await performance(channel, model_id, periods_per_year=365, risk_free=0.0001)
        assert (found.periods_per_year, found.risk_free) == (365, 0.0001)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sharpe = empyrical.sharpe_ratio(np.array(GOLDEN), 0.0001, annualization=365)
        assert found.sharpe_ratio == pytest.approx(sharpe, rel=1e-9)


async def test_each_day_is_the_mean_of_what_its_signals_returned(database: str) -> None:
    pick = random.Random(7)
    trades = [(day, pick.choice([-1, 1]), pick.gauss(0.1, 2)) for day in range(40) for _ in range(pick.randrange(4))]
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        changes = [{"signal_type": SELL} if side < 0 else {} for _, side, _ in trades]
        ids = await signals(channel, model_id, *changes)
        made = [
            an_evaluation(
                signal_id,
                # Any time of the day.
                evaluation_time=on_day(day + pick.uniform(-0.5, 0.49)),
                price_change_pct=change,
                pnl_if_executed=f"{side * change:.6f}",
            )
            for signal_id, (day, side, change) in zip(ids, trades, strict=True)
        ]
        await record(channel, *made)
        found = await performance(channel, model_id)
    profits = [side * change for _, side, change in trades]
    series = np.array(
        [
            np.mean([side * change / 100 for own, side, change in trades if own == day])
            for day in sorted({day for day, _, _ in trades})
        ]
    )
    expected = {
        "signal_accuracy": np.mean(np.array(profits) > 0),
        "win_rate": np.mean(np.array(profits) > 0),
        "sharpe_ratio": empyrical.sharpe_ratio(series),
        "max_drawdown": -empyrical.max_drawdown(series),
        "total_return": empyrical.cum_returns_final(series),
        "volatility": empyrical.annual_volatility(series),
        "risk_adjusted_return": empyrical.calmar_ratio(series),
    }
    assert {name: getattr(found, name) for name in expected} == pytest.approx(expected, rel=1e-9)
    # The signals themselves were made before the year.
    assert (found.total_signals, found.evaluated_signals) == (0, len(trades))


async def test_a_model_that_did_nothing_has_no_metrics(database: str) -> None:
    async with an_exchange(database) as channel:
        found = await performance(channel, await an_active_model(channel))
        assert sorted(MessageToDict(found, preserving_proto_field_name=True)) == [
            "create_time",
            "evaluation_period",
            "model_id",
            "performance_id",
            "periods_per_year",
        ]


async def test_what_cannot_be_computed_is_unset(database: str, subtests: pytest.Subtests) -> None:
    cases: list[tuple[list[float], set[str]]] = [
        ([0.01], {"sharpe_ratio", "volatility", "risk_adjusted_return"}),
        ([0.01] * 5, {"sharpe_ratio", "risk_adjusted_return"}),
        ([0.0, 0.0], {"sharpe_ratio", "risk_adjusted_return"}),
        ([0.5, -1.0, 0.5], {"max_drawdown", "total_return", "risk_adjusted_return"}),
        ([0.5, -3.0, 0.5], {"max_drawdown", "total_return", "risk_adjusted_return"}),
    ]
    async with an_exchange(database) as channel:
        for returns, unset in cases:
            with subtests.test(str(returns)):
                model_id = await an_active_model(channel)
                await days(channel, model_id, returns)
                found = await performance(channel, model_id)
                assert {name for name in METRICS if not found.HasField(name)} == unset
                assert all(math.isfinite(getattr(found, name)) for name in METRICS)


async def test_hold_is_counted_and_never_judged(database: str) -> None:
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        changes: list[dict[str, Any]] = [{"confidence": 0.5}, {"signal_type": HOLD, "confidence": 1.0}]
        ids = await signals(channel, model_id, *({"signal_time": on_day(0), **each} for each in changes))
        await record(channel, *(an_evaluation(signal_id) for signal_id in ids))
        found = await performance(channel, model_id)
        assert (found.total_signals, found.evaluated_signals, found.successful_signals) == (2, 1, 1)
        assert (found.avg_confidence, found.signal_accuracy) == (0.75, 1.0)


async def test_success_is_the_target_before_the_stop_or_a_positive_return(
    database: str, subtests: pytest.Subtests
) -> None:
    cases: list[tuple[int, bool, bool, float, bool]] = [
        (BUY, False, False, 0.1, True),
        (BUY, False, False, 0.0, False),
        (BUY, False, False, -0.1, False),
        (SELL, False, False, -0.1, True),
        (SELL, False, False, 0.1, False),
        # The target was reached; whoever evaluated looked again later.
        (BUY, True, False, -0.1, True),
        (BUY, True, True, -0.1, False),
        # The stop had been moved into the profit.
        (BUY, False, True, 0.1, True),
    ]
    async with an_exchange(database) as channel:
        for signal_type, hit, stopped, change, successful in cases:
            with subtests.test(str((signal_type, hit, stopped, change))):
                model_id = await an_active_model(channel)
                [signal_id] = await signals(channel, model_id, {"signal_type": signal_type})
                evaluation = an_evaluation(signal_id, target_hit=hit, stop_loss_hit=stopped, price_change_pct=change)
                await record(channel, evaluation)
                assert (await performance(channel, model_id)).successful_signals == successful


async def test_the_latest_evaluation_in_the_period_counts_once(database: str) -> None:
    january, february = (Period(start_date=f"2026-0{n}-01", end_date=f"2026-0{n + 1}-01") for n in (1, 2))
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        [signal_id] = await signals(channel, model_id, {"signal_time": on_day(0)})
        changes = {0: 1.0, 30: 2.0, 31: 3.0, 58: 4.0, 59: 5.0}
        await record(
            channel,
            *(
                an_evaluation(signal_id, evaluation_time=on_day(day), price_change_pct=change)
                for day, change in changes.items()
            ),
        )
        found = [await performance(channel, model_id, evaluation_period=period) for period in (january, february, YEAR)]
        assert [round(each.total_return, 9) for each in found] == [0.02, 0.04, 0.05]
        assert [(each.total_signals, each.evaluated_signals) for each in found] == [(1, 1), (0, 1), (1, 1)]


async def test_a_period_is_of_days_in_utc(database: str) -> None:
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        first, end = on_day(-0.5).ToMicroseconds(), on_day(364.5).ToMicroseconds()
        # Two on each of two days.
        changes = {
            first: 1.0,
            first + DAY - 1: 3.0,
            end - DAY: -2.5,
            end - 1: -1.5,
            first - 1: 7.0,
            first - 2: 7.0,
            end: 7.0,
        }
        times = [Timestamp(seconds=time // 10**6, nanos=time % 10**6 * 1000) for time in changes]
        ids = await signals(channel, model_id, *({"signal_time": time} for time in times))
        await record(
            channel,
            *(
                an_evaluation(one, evaluation_time=time, price_change_pct=change)
                for one, time, change in zip(ids, times, changes.values(), strict=True)
            ),
        )
        found = await performance(channel, model_id)
        assert (found.total_signals, found.evaluated_signals) == (4, 4)
        assert found.total_return == pytest.approx(1.02 * 0.98 - 1, rel=1e-9)
    # Whoever asks, and wherever.
    await execute(database, f"ALTER DATABASE {database.rpartition('/')[2]} SET timezone = 'Pacific/Auckland'")
    update = (
        "SELECT p.total_signals, p.evaluated_signals, p.total_return, p.sharpe_ratio, u.duplicate"
        " FROM update_model_performance($1, '[2026-01-01,2026-12-31]') AS u,"
        " LATERAL (SELECT (u.performance).*) AS p"
    )
    assert [tuple(row) for row in await execute(database, update, model_id)] == [
        (4, 4, found.total_return, found.sharpe_ratio, False)
    ]
