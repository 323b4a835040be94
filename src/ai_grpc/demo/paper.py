"""Trading on paper, on real bars and with costs: the same for evolution and for the bot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ai_grpc.demo.prices import Series
from ai_grpc.demo.rules import Entry, Side


@dataclass(frozen=True)
class Holding:
    """An open trade. `paid` is what was in the account before it, `equity` what is left of that after the fill."""

    entry: Entry
    paid: float
    equity: float

    def worth(self, price: float) -> float:
        """What the holding is worth at a price."""
        return self.equity * (1 + self.entry.side * (price / self.entry.price - 1))


@dataclass(frozen=True)
class Trade:
    """A closed trade: how it ended, and what it returned after costs."""

    entry: Entry
    exit_bar: int
    exit_price: float
    ending: str
    profit: float


class Account:
    """A paper account in one symbol: it begins with 1 at the close of a bar and puts everything into each trade.

    `curve` is what it is worth at the close of each bar since.
    """

    def __init__(self, series: Series, begin: int) -> None:
        columns = (series.open, series.high, series.low, series.close)
        self._bars: list[list[float]] = [column.tolist() for column in columns]
        self._cost = series.market.cost
        self._bar = begin
        self._cash = 1.0
        self.holding: Holding | None = None
        self.trades: list[Trade] = []
        self.curve = [1.0]

    def follow(self, entry: Entry) -> None:
        """Acts on a signal at the close of its bar: opens, turns round, or moves stop and profit of the open trade."""
        self._advance(entry.bar)
        if self.holding is not None and self.holding.entry.side == entry.side:
            moved = replace(self.holding.entry, stop_loss=entry.stop_loss, take_profit=entry.take_profit)
            self.holding = replace(self.holding, entry=moved)
            return
        if self.holding is not None:
            self._close(self.holding, entry.price, "opposite signal")
        self.holding = Holding(entry, paid=self._cash, equity=self._cash * (1 - self._cost))
        self.curve[-1] = self.holding.equity

    def finish(self) -> None:
        """Walks to the last bar and closes there what is still open."""
        closes = self._bars[3]
        self._advance(len(closes) - 1)
        if self.holding is not None:
            self._close(self.holding, closes[-1], "end of data")
            self.curve[-1] = self._cash

    def _advance(self, bar: int) -> None:
        closes = self._bars[3]
        while self._bar < bar:
            self._bar += 1
            if self.holding is not None:
                self._leave(self.holding)
            self.curve.append(self._cash if self.holding is None else self.holding.worth(closes[self._bar]))

    def _leave(self, holding: Holding) -> None:
        # A bar does not tell what came first within it, so the stop counts first; a gap through the stop fills at the
        # worse price, and a gap through the profit gives nothing extra.
        opened, high, low, _ = (column[self._bar] for column in self._bars)
        side, stop, profit = holding.entry.side, holding.entry.stop_loss, holding.entry.take_profit
        worst, best = (low, high) if side == Side.BUY else (high, low)
        if side * (worst - stop) <= 0:
            self._close(holding, min(opened, stop) if side == Side.BUY else max(opened, stop), "stop loss")
        elif side * (best - profit) >= 0:
            self._close(holding, profit, "take profit")

    def _close(self, holding: Holding, price: float, ending: str) -> None:
        self.holding = None
        self._cash = holding.worth(price) * (1 - self._cost)
        self.trades.append(Trade(holding.entry, self._bar, price, ending, self._cash / holding.paid - 1))


def summary(series: Series, account: Account) -> dict[str, object]:
    """What an account comes to at the end of the series, and what buy and hold does over the same bars."""
    account.finish()
    return {
        "trades": len(account.trades),
        "won": sum(trade.profit > 0 for trade in account.trades),
        "gain": account.curve[-1] - 1,
        "sharpe": sharpe(account.curve, series.bars_per_year),
        "hold": hold(series, series.split),
        "begin": f"{series.times[series.split]:%Y-%m-%d}",
        "end": f"{series.times[-1]:%Y-%m-%d}",
    }


def trade(series: Series, entries: Iterable[Entry], begin: int) -> Account:
    """An account that has followed the entries to the end of the series."""
    account = Account(series, begin)
    for entry in entries:
        account.follow(entry)
    account.finish()
    return account


def sharpe(curve: Sequence[float], bars_per_year: float) -> float:
    """The yearly Sharpe ratio of an account, without interest; 0 if it never moved."""
    returns = np.diff(np.log(curve))
    spread = float(returns.std())
    return float(returns.mean()) / spread * math.sqrt(bars_per_year) if spread > 0 else 0.0


def hold(series: Series, begin: int) -> float:
    """What buying at the close of a bar and selling at the last one returns, after costs."""
    return float(series.close[-1] / series.close[begin]) * (1 - series.market.cost) ** 2 - 1
