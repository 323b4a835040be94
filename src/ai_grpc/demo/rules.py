"""The trading rules and their five genes; what they say at a bar depends on that bar and earlier ones alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from ai_grpc.demo.prices import Floats, Series

ATR_PERIOD = 14
STOP_ATRS, PROFIT_ATRS, TARGET_ATRS = 2.0, 3.0, 4.0


class Side(IntEnum):
    """The direction of a trade, as the factor of its profit."""

    BUY = 1
    SELL = -1


@dataclass(frozen=True)
class Genes:
    """What evolution is free to choose."""

    sma_short: int
    sma_long: int
    rsi_period: int
    rsi_oversold: int
    rsi_overbought: int


@dataclass(frozen=True)
class Entry:
    """The rules fire at the close of a bar: which one, in which direction, with which prices."""

    bar: int
    side: Side
    rule: str
    price: float
    stop_loss: float
    take_profit: float
    price_target: float
    indicators: dict[str, float]


def sma(values: Floats, period: int) -> Floats:
    """The simple moving average, NaN until there are enough values."""
    sums = np.concatenate(([0.0], np.cumsum(values)))
    averages = np.full(len(values), np.nan)
    averages[period - 1 :] = (sums[period:] - sums[:-period]) / period
    return averages


def wilder(values: Floats, period: int) -> Floats:
    """Wilder's moving average: it starts as the mean of the first values; each new value then weighs 1/period."""
    averages = np.full(len(values), np.nan)
    if len(values) < period:
        return averages
    average = float(values[:period].mean())
    smoothed = [average]
    for value in values[period:].tolist():
        average += (value - average) / period
        smoothed.append(average)
    averages[period - 1 :] = smoothed
    return averages


def rsi(close: Floats, period: int) -> Floats:
    """Wilder's relative strength index, 0 to 100; 50 where the price has not moved."""
    change = np.diff(close)
    gain, loss = wilder(np.maximum(change, 0), period), wilder(np.maximum(-change, 0), period)
    moved = gain + loss
    strength = 100 * np.divide(gain, moved, out=np.full(len(moved), 0.5), where=moved != 0)
    return np.concatenate(([np.nan], strength))


def atr(series: Series, period: int = ATR_PERIOD) -> Floats:
    """Wilder's average true range."""
    before = series.close[:-1]
    spread = np.maximum(series.high[1:], before) - np.minimum(series.low[1:], before)
    return wilder(np.concatenate((series.high[:1] - series.low[:1], spread)), period)


def entries(series: Series, genes: Genes) -> list[Entry]:
    """Where the rules fire, oldest first.

    `cross`: the short average crosses the long one, unless the RSI says that the move is exhausted. `turn`: the RSI
    comes back from an extreme against the trend of the averages.
    """
    short, long = sma(series.close, genes.sma_short), sma(series.close, genes.sma_long)
    strength, ranges = rsi(series.close, genes.rsi_period), atr(series)
    up, down = short > long, short < long
    low, high = strength < genes.rsi_oversold, strength > genes.rsi_overbought
    known = ~np.isnan(long) & ~np.isnan(strength) & ~np.isnan(ranges)
    fires = {
        (Side.BUY, "cross"): _begins(up, known) & ~high,
        (Side.SELL, "cross"): _begins(down, known) & ~low,
        (Side.BUY, "turn"): _begins(~low, known) & up,
        (Side.SELL, "turn"): _begins(~high, known) & down,
    }
    columns = {"sma_short": short, "sma_long": long, "rsi": strength, "atr": ranges}
    found: dict[int, Entry] = {}
    for (side, rule), where in fires.items():
        for bar in np.flatnonzero(where).tolist():
            found.setdefault(bar, _entry(series, bar, side, rule, {name: float(c[bar]) for name, c in columns.items()}))
    return [found[bar] for bar in sorted(found)]


def _begins(condition: np.ndarray, known: np.ndarray) -> np.ndarray:
    begins = np.zeros(len(condition), dtype=bool)
    begins[1:] = condition[1:] & ~condition[:-1] & known[1:] & known[:-1]
    return begins


def _entry(series: Series, bar: int, side: Side, rule: str, indicators: dict[str, float]) -> Entry:
    price, decimals = float(series.close[bar]), series.market.decimals

    def away(ranges: float) -> float:
        return max(round(price + side * ranges * indicators["atr"], decimals), 10.0**-decimals)

    return Entry(bar, side, rule, price, away(-STOP_ATRS), away(PROFIT_ATRS), away(TARGET_ATRS), indicators)
