"""What becomes of a signal among prices."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_grpc.evaluation import HOUR, Advice, NotEvaluable, Outcome, Prices, evaluate

BEGIN = 1_700_000_000_123_456


def moved(*prices: str) -> Prices:
    """A price for each hour from BEGIN on, the first of them an hour later."""
    return Prices([BEGIN + hour * HOUR for hour in range(1, len(prices) + 1)], [Decimal(price) for price in prices])


def advice(side: int = 1, **levels: str | None) -> Advice:
    """To buy at 100, but for the changes."""
    given = {"reference": "100", **levels}
    return Advice(side, BEGIN, **{name: level and Decimal(level) for name, level in given.items()})  # type: ignore[arg-type]


def outcome(signal: Advice, prices: Prices, **more: Any) -> tuple[str, bool, bool, float, float, str]:
    """An outcome with prices as text, without the time."""
    found = evaluate(signal, prices, **more)
    return str(found.price), found.target_hit, found.stop_hit, found.change, found.holding, str(found.pnl)


@pytest.mark.parametrize(
    ("side", "target", "stop", "prices", "expected"),
    [
        # The target is reached exactly, and leapt over.
        (1, "110", "95", ["105", "110", "90"], ("110", True, False, 10.0, 2.0, "10")),
        (1, "110", "95", ["105", "120", "90"], ("110", True, False, 10.0, 2.0, "10")),
        # The stop is reached exactly, and leapt over: then it costs more.
        (1, "110", "95", ["105", "95", "120"], ("95", False, True, -5.0, 2.0, "-5")),
        (1, "110", "95", ["105", "80", "120"], ("80", False, True, -20.0, 2.0, "-20")),
        # Neither.
        (1, "110", "95", ["105", "109.99", "95.01"], ("95.01", False, False, -4.99, 3.0, "-4.99")),
        # At the first price, and at the last.
        (1, "110", "95", ["94", "110"], ("94", False, True, -6.0, 1.0, "-6")),
        (1, "110", "95", ["100", "111"], ("110", True, False, 10.0, 2.0, "10")),
        # The other way round.
        (-1, "90", "105", ["95", "85", "110"], ("90", True, False, -10.0, 2.0, "10")),
        (-1, "90", "105", ["95", "105", "80"], ("105", False, True, 5.0, 2.0, "-5")),
        (-1, "90", "105", ["95", "120", "80"], ("120", False, True, 20.0, 2.0, "-20")),
        (-1, "90", "105", ["95", "104"], ("104", False, False, 4.0, 2.0, "-4")),
        # One level, or none.
        (1, None, "95", ["200", "94"], ("94", False, True, -6.0, 2.0, "-6")),
        (1, "110", None, ["1", "110"], ("110", True, False, 10.0, 2.0, "10")),
        (1, None, None, ["1", "300"], ("300", False, False, 200.0, 2.0, "200")),
        (-1, None, None, ["1", "300"], ("300", False, False, 200.0, 2.0, "-200")),
        # HOLD.
        (0, "110", "95", ["1", "120"], ("120", False, False, 20.0, 2.0, "0")),
    ],
)
def test_a_trade_ends_at_its_target_or_where_its_stop_was_reached(
    side: int, target: str | None, stop: str | None, prices: list[str], expected: tuple[Any, ...]
) -> None:
    assert outcome(advice(side, target=target, stop=stop), moved(*prices)) == expected


@pytest.mark.parametrize(
    ("signal", "cause"),
    [
        (advice(reference=None), "it has no positive reference_price"),
        (advice(reference="0"), "it has no positive reference_price"),
        (advice(reference="-100"), "it has no positive reference_price"),
        (advice(0, reference=None), "it has no positive reference_price"),
        (advice(target="100"), "its target is not above its reference_price"),
        (advice(stop="100"), "its stop_loss is not below its reference_price"),
        (advice(-1, target="110"), "its target is not below its reference_price"),
        (advice(-1, stop="90"), "its stop_loss is not above its reference_price"),
    ],
)
def test_a_signal_without_sense_is_not_evaluable(signal: Advice, cause: str) -> None:
    with pytest.raises(NotEvaluable, match=f"^{cause}$"):
        evaluate(signal, moved("100"))


def test_only_prices_after_the_signal_and_within_the_time_count() -> None:
    prices = Prices([BEGIN - HOUR, BEGIN, BEGIN + 1, BEGIN + HOUR], [Decimal(price) for price in ("1", "2", "3", "4")])
    assert evaluate(advice(), prices).price == 4
    assert evaluate(advice(), prices, max_holding=HOUR).price == 4
    assert evaluate(advice(), prices, max_holding=HOUR - 1).price == 3
    assert evaluate(advice(stop="3"), prices).time == BEGIN + 1
    for nothing in (Prices([], []), Prices(prices.times[:2], prices.prices[:2])):
        with pytest.raises(NotEvaluable, match=r"^there is no price after it$"):
            evaluate(advice(), nothing)
    with pytest.raises(NotEvaluable, match=r"^there is no price after it$"):
        evaluate(advice(), prices, max_holding=0)


money = st.integers(1, 400).map(Decimal)


@given(
    side=st.sampled_from([-1, 1]),
    reference=money,
    gain=st.none() | money,
    loss=st.none() | money,
    prices=st.lists(money, min_size=1, max_size=30),
)
def test_an_outcome_is_what_a_trader_would_have_seen(
    side: int, reference: Decimal, gain: Decimal | None, loss: Decimal | None, prices: list[Decimal]
) -> None:
    target = None if gain is None else reference + side * gain
    stop = None if loss is None else reference - side * loss
    found = evaluate(Advice(side, BEGIN, reference, target, stop), moved(*map(str, prices)))
    profits = [(price - reference) * side for price in prices]
    for hour, profit in enumerate(profits, 1):
        won, lost = gain is not None and profit >= gain, loss is not None and profit <= -loss
        if won or lost or hour == len(profits):
            pnl = gain if won and gain is not None else profit
            break
    expected = Outcome(
        time=BEGIN + hour * HOUR,
        price=reference + side * pnl,
        target_hit=won,
        stop_hit=lost,
        change=float(side * pnl / reference * 100),
        holding=hour,
        pnl=pnl,
    )
    assert found == expected
