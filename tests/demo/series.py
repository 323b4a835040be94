"""Small series for the tests of the demonstration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from ai_grpc.demo.prices import Series
from ai_grpc.demo.rules import Entry, Side

Bar = tuple[float, float, float, float]


def a_series(*bars: Bar, split: int = 0) -> Series:
    """A GOOG series of (open, high, low, close) bars, one a day."""
    opened, high, low, close = np.array(bars, dtype=np.float64).T
    times = tuple(datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(len(bars)))
    return Series("GOOG", times, opened, high, low, close, split)


def closes(*prices: float) -> Series:
    """A series whose bars have one price each."""
    return a_series(*((price, price, price, price) for price in prices))


def an_entry(bar: int = 0, side: Side = Side.BUY, price: float = 100, stop: float = 90, profit: float = 120) -> Entry:
    """An entry at a price, with its stop and profit."""
    return Entry(bar, side, "cross", price, stop, profit, profit, {})
