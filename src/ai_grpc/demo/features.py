"""The technical indicators of a series, as vectors that a model would see."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ai_grpc.demo.prices import Floats, Series
from ai_grpc.demo.rules import rsi, sma
from ai_grpc.v1 import features_pb2 as pb

FEATURE_SET = "technical_indicators"
PERIOD, RSI_PERIOD, USUAL_PERIOD = 20, 14, 100
BAND_DEVIATIONS = 2


def deviation(values: Floats, period: int) -> Floats:
    """The standard deviation of the last values, NaN until there are enough."""
    deviations = np.full(len(values), np.nan)
    deviations[period - 1 :] = np.lib.stride_tricks.sliding_window_view(values, period).std(axis=1)
    return deviations


def indicators(series: Series) -> dict[str, Floats]:
    """The columns by their names: each value is made from its bar and earlier ones, and NaN where those are too few.

    `volatility_ratio` says how much the price moves compared with what is usual for it.
    """
    average, band = sma(series.close, PERIOD), BAND_DEVIATIONS * deviation(series.close, PERIOD)
    moves = np.diff(np.log(series.close))
    now, usual = deviation(moves, PERIOD), deviation(moves, USUAL_PERIOD)
    ratio = np.divide(now, usual, out=np.full(len(moves), np.nan), where=usual > 0)
    return {
        f"sma_{PERIOD}": average,
        f"rsi_{RSI_PERIOD}": rsi(series.close, RSI_PERIOD),
        "bollinger_upper": average + band,
        "bollinger_lower": average - band,
        "volatility_ratio": np.concatenate(([np.nan], ratio)),
    }


def vectors(series: Series) -> Iterator[pb.FeatureVector]:
    """One for each bar of the trading part; what is not known is null."""
    columns = indicators(series)
    for bar in range(series.split, len(series)):
        vector = pb.FeatureVector(symbol=series.symbol, feature_set_name=FEATURE_SET, extraction_method="numpy")
        vector.event_time.FromDatetime(series.times[bar])
        values = {name: float(column[bar]) for name, column in columns.items()}
        vector.features.update({name: value if np.isfinite(value) else None for name, value in values.items()})
        yield vector
