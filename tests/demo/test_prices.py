"""The prices are real, complete and in order, and reading them stays cheap."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest

from ai_grpc.demo.prices import MARKETS, load


def test_goog_is_daily_and_eurusd_is_hourly() -> None:
    goog, eurusd = load("GOOG"), load("EURUSD")
    assert (len(goog), goog.times[0]) == (2148, datetime(2004, 8, 19, tzinfo=UTC))
    assert (len(eurusd), eurusd.times[0]) == (5000, datetime(2017, 4, 19, 9, tzinfo=UTC))
    assert goog.close[0] == 100.34
    assert 250 < goog.bars_per_year < 254
    assert 6000 < eurusd.bars_per_year < 6400


@pytest.mark.parametrize("symbol", MARKETS)
def test_bars_are_in_order_and_hold_together(symbol: str) -> None:
    series = load(symbol)
    assert list(series.times) == sorted(set(series.times))
    assert np.all(series.low <= np.minimum(series.open, series.close))
    assert np.all(series.high >= np.maximum(series.open, series.close))


@pytest.mark.parametrize("symbol", MARKETS)
def test_the_training_part_lies_before_the_trading_part(symbol: str) -> None:
    series = load(symbol)
    training = series.first(series.split)
    assert training.times[-1] < series.times[series.split]
    assert 0.5 < len(training) / len(series) < 0.7


def test_reading_prices_imports_neither_backtesting_nor_bokeh() -> None:
    program = "import sys, ai_grpc.demo.prices as p; p.load('GOOG'); print({'backtesting', 'bokeh'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
