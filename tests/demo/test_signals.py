"""A bot reads from a signal the entry that the model meant."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ai_grpc.demo.paper import Trade
from ai_grpc.demo.prices import MARKETS, load
from ai_grpc.demo.rules import Genes, Side, entries
from ai_grpc.demo.signals import confidence, to_entry, to_signal
from tests.demo.series import an_entry


@pytest.mark.parametrize("symbol", MARKETS)
def test_entry_comes_back_from_its_signal(symbol: str) -> None:
    series = load(symbol)
    for entry in entries(series, Genes(9, 35, 14, 40, 65)):
        signal = to_signal(entry, series, model_id="m", confidence=0.5)
        assert to_entry(signal, series) == replace(entry, indicators={})


def test_signal_says_what_it_was_made_from_and_how_long_it_is_good() -> None:
    series = load("GOOG")
    entry = entries(series, Genes(9, 35, 14, 40, 65))[-1]
    signal = to_signal(entry, series, model_id="m", confidence=0.5)
    assert float(signal.reference_price) == series.close[entry.bar]
    assert signal.market_data_time.ToJsonString() == series.times[entry.bar].isoformat().replace("+00:00", "Z")
    assert abs(signal.signal_time.ToNanoseconds() - time.time_ns()) < 10**10
    assert signal.expire_time.seconds - signal.signal_time.seconds == 300
    assert set(signal.metadata) == {"rule", "bar", "sma_short", "sma_long", "rsi", "atr"}


def test_confidence_is_the_share_of_training_trades_of_the_same_kind_that_won() -> None:
    won, lost = (Trade(an_entry(), 1, 100, "stop loss", profit) for profit in (0.1, -0.1))
    other = replace(lost, entry=an_entry(side=Side.SELL))
    assert confidence(an_entry(), []) == 0.5
    assert confidence(an_entry(), [won, won, lost, other, other]) == 0.6
