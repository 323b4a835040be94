"""The real prices of the demonstration, cut into a part to learn from and a later part to trade on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ai_grpc.errors import ConfigurationError

Floats = NDArray[np.float64]

TRAINING_SHARE = 0.6


@dataclass(frozen=True)
class Market:
    """What trading a symbol is like: its price decimals, and the cost of each fill as a share of the price."""

    decimals: int
    cost: float


MARKETS = {"GOOG": Market(decimals=2, cost=0.0005), "EURUSD": Market(decimals=5, cost=0.0001)}


@dataclass(frozen=True, eq=False)
class Series:
    """The bars of one symbol, oldest first; `split` is the first bar to trade on."""

    symbol: str
    times: tuple[datetime, ...]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    split: int

    def __len__(self) -> int:
        return len(self.times)

    @property
    def market(self) -> Market:
        """How the symbol is traded."""
        return MARKETS[self.symbol]

    @property
    def bars_per_year(self) -> float:
        """How many bars a year has, weekends and holidays left out, as the times say."""
        return (len(self) - 1) * 365.25 * 86_400 / (self.times[-1] - self.times[0]).total_seconds()

    def first(self, bars: int) -> Series:
        """The series as it was known after that many bars."""
        return Series(
            self.symbol,
            self.times[:bars],
            self.open[:bars],
            self.high[:bars],
            self.low[:bars],
            self.close[:bars],
            min(self.split, bars),
        )


def load(symbol: str) -> Series:
    """The bars that the package backtesting carries for GOOG (daily) or EURUSD (hourly)."""
    frame = pd.read_csv(_folder() / f"{symbol}.csv", index_col=0, parse_dates=True).tz_localize("UTC")
    times = tuple(stamp.to_pydatetime() for stamp in pd.DatetimeIndex(frame.index))
    opened, high, low, close = (frame[name].to_numpy(dtype=np.float64) for name in ("Open", "High", "Low", "Close"))
    return Series(symbol, times, opened, high, low, close, split=int(len(times) * TRAINING_SHARE))


def _folder() -> Path:
    # Importing backtesting would import bokeh, a second of work, for two files beside it.
    found = find_spec("backtesting")
    if found is None or found.origin is None:
        raise ConfigurationError("the demonstration needs its prices: pip install 'ai-grpc[demo]'")
    return Path(found.origin).parent / "test"
