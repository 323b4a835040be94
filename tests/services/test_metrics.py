"""The metrics of a series of returns: those of empyrical, and nothing where they cannot be computed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, Final

import empyrical
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.performance import GOLDEN
from tests.signals import execute

METRICS: Final = "SELECT m.* FROM return_metrics($1::float8[], $2::float8, $3::float8) AS m"
COLUMNS: Final = ("sharpe_ratio", "max_drawdown", "total_return", "volatility", "calmar_ratio")

# A Calmar ratio above this is not computed.
LARGEST: Final = math.exp(600)

# As a price moves: in steps that are not lost in its size.
returns = st.lists(st.integers(-990_000, 2_000_000).map(lambda step: step / 1_000_000), max_size=60)
SEEDED: Final = settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


async def metrics(
    database: str, returns: Sequence[float], periods_per_year: float = 252, risk_free: float = 0
) -> dict[str, float | None]:
    """The metrics that the database computes."""
    [row] = await execute(database, METRICS, list(returns), periods_per_year, risk_free)
    return dict(row)


def oracle(returns: Sequence[float], periods_per_year: float, risk_free: float) -> dict[str, float | None]:
    """The metrics that empyrical computes; None for NaN, what is too large, and what is left over from rounding."""
    series = np.array(returns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [
            empyrical.sharpe_ratio(series, risk_free, annualization=periods_per_year),
            -empyrical.max_drawdown(series),
            empyrical.cum_returns_final(series) if returns else math.nan,
            empyrical.annual_volatility(series, annualization=periods_per_year),
            empyrical.calmar_ratio(series, annualization=periods_per_year),
        ]
    values = {name: float(value) if abs(value) < LARGEST else None for name, value in zip(COLUMNS, found, strict=True)}
    if len(set(returns)) == 1:
        values["sharpe_ratio"] = None
    return values


def about(expected: dict[str, float | None]) -> dict[str, Any]:
    return {
        name: value if value is None else pytest.approx(value, rel=1e-9, abs=1e-9) for name, value in expected.items()
    }


@SEEDED
@given(returns, st.sampled_from([252, 365, 12, 1, 8760]), st.sampled_from([0, 0.0001, -0.01, 0.02]))
async def test_the_metrics_are_those_of_empyrical(
    database: str, returns: list[float], periods_per_year: float, risk_free: float
) -> None:
    assert await metrics(database, returns, periods_per_year, risk_free) == about(
        oracle(returns, periods_per_year, risk_free)
    )


async def test_so_are_those_of_years_of_daily_returns(database: str) -> None:
    for seed in range(3):
        series = list(np.random.default_rng(seed).normal(0.0005, 0.01, 2520))
        assert await metrics(database, series, 365, 0.0001) == about(oracle(series, 365, 0.0001))


async def test_the_metrics_of_known_returns_are_known(database: str) -> None:
    found = await metrics(database, GOLDEN)
    assert found == about(
        {
            "sharpe_ratio": 4.755563543407302,
            "max_drawdown": 0.02,
            "total_return": 0.03970268023390977,
            "volatility": 0.26495282598983544,
            "calmar_ratio": ((1 + 0.03970268023390977) ** (252 / 8) - 1) / 0.02,
        }
    )
    assert (await metrics(database, GOLDEN, 365))["sharpe_ratio"] == pytest.approx(5.72332161042958, rel=1e-12)


async def test_the_first_loss_is_a_fall_from_the_start(database: str) -> None:
    assert (await metrics(database, [-0.1, 0.05]))["max_drawdown"] == pytest.approx(0.1, rel=1e-12)


async def test_too_few_returns_have_no_deviation(database: str) -> None:
    assert await metrics(database, []) == dict.fromkeys(COLUMNS)
    assert await metrics(database, [0.25]) == about(
        {**dict.fromkeys(COLUMNS), "max_drawdown": 0.0, "total_return": 0.25}
    )


async def test_returns_that_are_all_the_same_have_no_sharpe_ratio(database: str, subtests: pytest.Subtests) -> None:
    for value in [0.0, 0.1, 0.01, -0.003, 1 / 3, 0.7, 1e-6, 1e-13, -0.123456789, 1e10, -1e10]:
        noisy = [value, (value + value + value) / 3, value * 7 / 7]
        for series in (*([value] * length for length in (3, 5000)), noisy):
            with subtests.test(value=value, length=len(series)):
                found = await metrics(database, series)
                assert (found["sharpe_ratio"], found["volatility"]) == (None, 0)


async def test_a_deviation_a_little_above_rounding_counts(database: str) -> None:
    for series in ([0.01, 0.01 + 1e-10], [1e-13, 2e-13], [1e10, 1e10 + 1]):
        found = await metrics(database, series)
        assert found["sharpe_ratio"] == pytest.approx(oracle(series, 252, 0)["sharpe_ratio"], rel=1e-4)


async def test_a_total_loss_cannot_be_compounded(database: str) -> None:
    for ruin in (-1.0, -1.5, -1e18):
        series = [0.5, ruin, 0.5]
        expected = {**oracle(series, 252, 0), "max_drawdown": None, "total_return": None, "calmar_ratio": None}
        assert await metrics(database, series) == about(expected)


async def test_growth_beyond_what_a_number_holds_is_unknown(database: str) -> None:
    cases: list[tuple[list[float], Any]] = [
        ([1e18] * 100, None),
        ([-1 + 1e-16] * 100, -1.0),
        ([1e18, -0.9] * 17, pytest.approx(1e289, rel=1e-9)),
    ]
    for series, total in cases:
        found = await metrics(database, series)
        assert found["total_return"] == total
        assert found["calmar_ratio"] is None or math.isfinite(found["calmar_ratio"])


@SEEDED
@given(
    st.lists(st.floats(-1e18, 1e18) | st.floats(-1, 1) | st.sampled_from([-1.0, 0.0, -0.0, 5e-324]), max_size=60),
    st.floats(1, 1_000_000),
    st.floats(-1, 1),
)
async def test_a_metric_is_a_finite_number_or_none(
    database: str, returns: list[float], periods_per_year: float, risk_free: float
) -> None:
    found = await metrics(database, returns, periods_per_year, risk_free)
    assert [name for name, value in found.items() if value is not None and not math.isfinite(value)] == []


async def test_parameters_without_sense_have_no_metrics(database: str) -> None:
    for periods_per_year, risk_free in ((1.7e308, 0), (0.5, 0), (-1, 0), (math.nan, 0), (252, 1.5), (252, math.nan)):
        assert await execute(database, METRICS, [1e3] * 3, periods_per_year, risk_free) == []
