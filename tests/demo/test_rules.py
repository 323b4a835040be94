"""The indicators are the textbook's, and the rules see no future."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ai_grpc.demo.prices import MARKETS, load
from ai_grpc.demo.rules import Genes, Side, atr, entries, rsi, sma
from tests.demo.series import a_series, closes

GENES = Genes(sma_short=9, sma_long=35, rsi_period=14, rsi_oversold=40, rsi_overbought=65)


def test_sma_is_the_mean_of_the_last_bars() -> None:
    averages = sma(np.array([1.0, 2.0, 6.0, 4.0]), 2)
    assert math.isnan(averages[0])
    assert averages[1:].tolist() == [1.5, 4.0, 5.0]


def test_rsi_equals_a_vector_computed_by_hand() -> None:
    # Changes +1 -1 +2 0 -3. Mean gain and loss over 3: 1 and 1/3, then 2/3 and 2/9, then 4/9 and 31/27.
    strength = rsi(np.array([10.0, 11.0, 10.0, 12.0, 12.0, 9.0]), 3)
    assert np.isnan(strength[:3]).all()
    assert strength[3:].tolist() == pytest.approx([75, 75, 100 * 12 / 43])


def test_rsi_equals_the_published_example_of_14_bars() -> None:
    prices = (
        *(44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931, 46.0328),
        *(45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439),
    )
    assert np.round(rsi(np.array(prices), 14)[14:], 2).tolist() == [70.53, 66.32, 66.55, 69.41, 66.36, 57.97]


def test_rsi_is_50_where_the_price_stands_still_and_100_where_it_only_rises() -> None:
    assert rsi(np.full(5, 7.0), 3)[3:].tolist() == [50, 50]
    assert rsi(np.arange(5.0), 3)[3:].tolist() == [100, 100]


def test_atr_counts_the_gap_from_the_close_before() -> None:
    series = a_series((10, 11, 9, 10), (15, 16, 14, 15), (15, 15, 13, 14))
    # True ranges 2, 6 (16 from the close at 10) and 2.
    assert atr(series, 2)[1:].tolist() == [4, 3]


@pytest.mark.parametrize(("move", "side"), [(5.0, Side.BUY), (-5.0, Side.SELL)])
def test_a_crossing_average_gives_an_entry_at_its_bar(move: float, side: Side) -> None:
    series = closes(*[100.0] * 30, *[100.0 + move] * 4)
    found = entries(series, Genes(sma_short=2, sma_long=20, rsi_period=5, rsi_oversold=0, rsi_overbought=100))
    assert [(entry.bar, entry.side, entry.rule) for entry in found] == [(30, side, "cross")]


@pytest.mark.parametrize("move", [5.0, -5.0])
def test_a_crossing_is_held_back_where_the_rsi_says_that_the_move_is_exhausted(move: float) -> None:
    series = closes(*[100.0] * 30, *[100.0 + move] * 4)
    assert entries(series, Genes(sma_short=2, sma_long=20, rsi_period=5, rsi_oversold=1, rsi_overbought=99)) == []


def test_the_rsi_coming_back_from_oversold_in_a_rising_trend_gives_an_entry() -> None:
    series = closes(*np.arange(100.0, 140.0), 136, 132, 138)
    found = entries(series, Genes(sma_short=10, sma_long=20, rsi_period=5, rsi_oversold=45, rsi_overbought=60))
    assert [(entry.bar, entry.side, entry.rule) for entry in found] == [(42, Side.BUY, "turn")]


@pytest.mark.parametrize("symbol", MARKETS)
def test_stop_and_profit_lie_on_their_sides_of_the_price(symbol: str) -> None:
    found = entries(load(symbol), GENES)
    assert {entry.side for entry in found} == {Side.BUY, Side.SELL}
    assert {entry.rule for entry in found} == {"cross", "turn"}
    for entry in found:
        below, above = sorted((entry.stop_loss, entry.take_profit))
        assert below < entry.price < above
        assert entry.side * (entry.take_profit - entry.stop_loss) > 0
        assert entry.side * (entry.price_target - entry.take_profit) > 0


@pytest.mark.parametrize("symbol", MARKETS)
def test_cutting_off_the_future_changes_no_past_entry(symbol: str) -> None:
    series = load(symbol)
    found = entries(series, GENES)
    assert len(found) > 50
    for bar in (entry.bar for entry in found[::7]):
        for bars in (bar, bar + 1):
            assert entries(series.first(bars), GENES) == [entry for entry in found if entry.bar < bars]
