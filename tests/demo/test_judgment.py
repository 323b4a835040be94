"""The service's judgment of signals is that of their prices, and what is shown of it is what the service holds."""

from __future__ import annotations

import math
from statistics import fmean

import pytest
from grpc import aio

from ai_grpc.client import SignalPublisher
from ai_grpc.demo.breeding import Bred, Breeder
from ai_grpc.demo.findings import figures
from ai_grpc.demo.judgment import Judgment, judge
from ai_grpc.demo.prices import load
from ai_grpc.demo.rules import Entry, Genes
from ai_grpc.demo.signals import to_signal
from ai_grpc.v1 import performance_pb2 as pb
from ai_grpc.v1 import performance_pb2_grpc

SERIES = load("GOOG")


def outcome(entry: Entry) -> tuple[int, float]:
    """The bar at which the trade ends that the entry advises, and its return: at closes and without costs."""
    closes: list[float] = SERIES.close.tolist()
    for bar in range(entry.bar + 1, len(closes)):
        if entry.side * (closes[bar] - entry.take_profit) >= 0:
            return bar, entry.side * (entry.take_profit / entry.price - 1)
        if entry.side * (closes[bar] - entry.stop_loss) <= 0:
            return bar, entry.side * (closes[bar] / entry.price - 1)
    return len(closes) - 1, entry.side * (closes[-1] / entry.price - 1)


@pytest.fixture
async def bred(channel: aio.Channel) -> Bred:
    model_id = await Breeder(channel, seed=1, population=10, generations=1).register(SERIES, "1")
    return Bred.of(SERIES, model_id, Genes(9, 35, 14, 40, 65))


async def judged(bred: Bred, target: str) -> Judgment:
    """The judgment of the signals where the rules fire later, each with a confidence of 0.5."""
    signals = [to_signal(entry, SERIES, model_id=bred.model_id, confidence=0.5) for entry in bred.later]
    async with SignalPublisher(target) as publisher:
        ids = [(await publisher.publish(signal)).signal_id for signal in signals]
    return (await judge(target, {"GOOG": bred.model_id}, {"GOOG": ids}))["GOOG"]


async def test_model_is_judged_by_the_closes_after_its_signals(bred: Bred, target: str) -> None:
    found = await judged(bred, target)
    performance, calibration = found.performance, found.calibration
    outcomes = [outcome(entry) for entry in bred.later if entry.bar < len(SERIES) - 1]
    returns = [value for _, value in outcomes]
    assert performance.total_signals == len(bred.later)
    assert performance.evaluated_signals == calibration.evaluated_signals == len(outcomes) > 10
    assert performance.win_rate == pytest.approx(sum(value > 0 for value in returns) / len(returns))
    daily: dict[int, list[float]] = {}
    for bar, value in outcomes:
        daily.setdefault(bar, []).append(value)
    assert performance.total_return == pytest.approx(math.prod(1 + fmean(day) for day in daily.values()) - 1)
    # A year has as many returns as days on which trades ended.
    years = (SERIES.times[-1] - SERIES.times[SERIES.split]).days / 365.25
    assert performance.periods_per_year == pytest.approx(len(daily) / years)
    assert performance.avg_confidence == pytest.approx(0.5)
    assert calibration.expected_calibration_error == pytest.approx(abs(performance.signal_accuracy - 0.5))


async def test_figures_shown_are_those_that_the_service_holds(bred: Bred, target: str, channel: aio.Channel) -> None:
    found = await judged(bred, target)
    stub: performance_pb2_grpc.PerformanceServiceAsyncStub = performance_pb2_grpc.PerformanceServiceStub(channel)
    request = pb.GetLatestModelPerformanceRequest(model_id=bred.model_id)
    (held,) = (await stub.GetLatestModelPerformance(request, timeout=10)).performances
    assert found.performance == held
    shown = figures(found)
    assert shown["signal_accuracy"] == f"{held.signal_accuracy:.0%}"
    assert shown["total_return"] == f"{held.total_return:+.2%}"
    assert shown["sharpe_ratio"] == f"{held.sharpe_ratio:.2f}"


def test_metric_that_could_not_be_computed_is_not_invented() -> None:
    nothing = Judgment(pb.ModelPerformance(max_drawdown=0), pb.GetCalibrationResponse())
    assert figures(nothing)["max_drawdown"] == "0.00%"
    assert set(figures(nothing).values()) == {"0.00%", "-"}
