"""Paper trading is conservative, pays its costs, and is marked at every bar."""

from __future__ import annotations

import pytest

from ai_grpc.demo.paper import Account, hold, sharpe, trade
from ai_grpc.demo.prices import MARKETS
from ai_grpc.demo.rules import Entry, Side
from tests.demo.series import a_series, an_entry, closes

KEPT = 1 - MARKETS["GOOG"].cost
FLAT = (100.0, 101.0, 99.0, 100.0)
SHORT = an_entry(side=Side.SELL, stop=110, profit=80)


def test_stop_counts_before_profit_within_one_bar() -> None:
    account = trade(a_series(FLAT, (100, 125, 85, 100)), [an_entry()], 0)
    assert [(one.ending, one.exit_price) for one in account.trades] == [("stop loss", 90)]


def test_short_trade_stops_above_and_profits_below() -> None:
    stopped = trade(a_series(FLAT, (100, 111, 79, 100)), [SHORT], 0)
    assert [(one.ending, one.exit_price) for one in stopped.trades] == [("stop loss", 110)]
    gained = trade(a_series(FLAT, (100, 105, 79, 100)), [SHORT], 0)
    assert [(one.ending, one.exit_price) for one in gained.trades] == [("take profit", 80)]
    assert gained.curve[-1] == pytest.approx(1.2 * KEPT**2)


@pytest.mark.parametrize(("entry", "opened"), [(an_entry(), 70.0), (SHORT, 130.0)])
def test_gap_through_the_stop_fills_at_the_worse_open(entry: Entry, opened: float) -> None:
    bar = (opened, opened, opened, opened)
    account = trade(a_series(FLAT, bar), [entry], 0)
    assert [(one.ending, one.exit_price) for one in account.trades] == [("stop loss", opened)]


def test_gap_through_the_profit_gives_nothing_extra() -> None:
    account = trade(closes(100, 150), [an_entry()], 0)
    assert [(one.ending, one.exit_price) for one in account.trades] == [("take profit", 120)]


def test_stop_and_profit_do_not_count_within_the_bar_of_the_entry() -> None:
    account = trade(a_series((100, 130, 80, 100), FLAT), [an_entry()], 0)
    assert [one.ending for one in account.trades] == ["end of data"]


def test_each_fill_costs() -> None:
    account = trade(closes(100, 110), [an_entry()], 0)
    assert account.trades[0].profit == pytest.approx(1.1 * KEPT**2 - 1)
    assert account.curve == pytest.approx([KEPT, 1.1 * KEPT**2])


def test_opposite_signal_turns_the_trade_round_at_its_price() -> None:
    entries = [an_entry(), an_entry(1, Side.SELL, 110, stop=130, profit=90)]
    account = trade(closes(100, 110, 99), entries, 0)
    assert [(one.ending, one.exit_bar) for one in account.trades] == [("opposite signal", 1), ("end of data", 2)]
    assert account.curve[-1] == pytest.approx(1.1 * 1.1 * KEPT**4)


@pytest.mark.parametrize(("last", "ending"), [(97, "stop loss"), (112, "take profit")])
def test_signal_of_the_same_direction_moves_stop_and_profit_alone(last: float, ending: str) -> None:
    account = trade(closes(100, 105, last), [an_entry(), an_entry(1, price=105, stop=98, profit=110)], 0)
    assert [(one.ending, one.entry.price, one.entry.bar) for one in account.trades] == [(ending, 100, 0)]


def test_stop_is_found_on_the_way_to_a_later_signal() -> None:
    account = Account(closes(100, 85, 120, 120), 0)
    account.follow(an_entry())
    account.follow(an_entry(3, price=120, stop=110, profit=150))
    assert [(one.ending, one.exit_bar) for one in account.trades] == [("stop loss", 1)]
    assert account.holding is not None
    assert len(account.curve) == 4


def test_curve_has_one_value_for_each_bar_and_ends_at_the_product_of_the_trades() -> None:
    entries = [an_entry(), an_entry(2, Side.SELL, 130, stop=150, profit=100)]
    account = trade(closes(100, 125, 130, 120, 160), entries, 0)
    assert len(account.curve) == 5
    assert account.curve[-1] == pytest.approx((1 + account.trades[0].profit) * (1 + account.trades[1].profit))


def test_no_signal_no_trade_no_cost() -> None:
    assert trade(closes(100, 50), [], 0).curve == [1, 1]


def test_holding_pays_two_fills_and_follows_the_price() -> None:
    assert hold(closes(80, 100, 150), 1) == pytest.approx(1.5 * KEPT**2 - 1)


def test_sharpe_grows_with_the_mean_and_falls_with_the_spread() -> None:
    assert sharpe([1, 1, 1], 252) == 0
    assert sharpe([1, 1.01, 1.005, 1.02], 252) > sharpe([1, 1.03, 0.99, 1.02], 252) > 0
    assert sharpe([1, 0.99, 1.0, 0.98], 252) < 0
