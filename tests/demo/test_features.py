"""The features are the textbook's, and see no future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

from ai_grpc.demo.features import indicators, vectors
from ai_grpc.demo.prices import MARKETS, load
from tests.demo.series import closes


def test_bollinger_bands_lie_two_deviations_around_the_average() -> None:
    found = indicators(closes(*[99.0, 101.0] * 60))
    assert np.isnan(found["bollinger_upper"][:19]).all()
    assert found["sma_20"][19:].tolist() == pytest.approx([100] * 101)
    assert found["bollinger_upper"][19:].tolist() == pytest.approx([102] * 101)
    assert found["bollinger_lower"][19:].tolist() == pytest.approx([98] * 101)


def test_volatility_ratio_is_1_where_moves_are_as_usual_and_more_where_they_grow() -> None:
    ratio = indicators(closes(*[99.0, 101.0] * 60, *[90.0, 110.0] * 10))["volatility_ratio"]
    assert ratio[119] == pytest.approx(1)
    assert ratio[139] > 2


@pytest.mark.parametrize("symbol", MARKETS)
def test_there_is_a_vector_for_each_bar_of_the_trading_part_with_all_its_numbers(symbol: str) -> None:
    series = load(symbol)
    found = list(vectors(series))
    assert [one.event_time.ToNanoseconds() // 10**9 for one in found] == [
        int(time.timestamp()) for time in series.times[series.split :]
    ]
    for vector in found:
        features = MessageToDict(vector.features)
        assert set(features) == {"sma_20", "rsi_14", "bollinger_upper", "bollinger_lower", "volatility_ratio"}
        assert features["bollinger_lower"] < features["sma_20"] < features["bollinger_upper"]
        assert 0 < features["rsi_14"] < 100


def test_what_is_not_known_yet_is_null() -> None:
    first = next(vectors(closes(*[1.0, 2.0] * 60)))
    assert set(first.features.values()) == {None}


def test_cutting_off_the_future_changes_no_vector() -> None:
    series = load("GOOG")
    bars = series.split + 50
    assert list(vectors(series.first(bars))) == list(vectors(series))[:50]
    assert list(vectors(replace(series.first(bars), split=bars))) == []
