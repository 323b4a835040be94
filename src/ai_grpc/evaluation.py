"""What became of a signal, told by the prices after it. Times are microseconds since 1970."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

HOUR: Final = 3_600_000_000
INFINITY: Final = Decimal("Infinity")


class NotEvaluable(Exception):
    """Prices cannot judge the signal. The text says why."""


class Prices(NamedTuple):
    """How a price moved: the times, each later than the one before, and the price at each."""

    times: Sequence[int]
    prices: Sequence[Decimal]


class Advice(NamedTuple):
    """What a signal says: `side` is 1 for BUY, -1 for SELL, and 0 for HOLD."""

    side: int
    time: int
    reference: Decimal | None
    target: Decimal | None = None
    stop: Decimal | None = None


class Outcome(NamedTuple):
    """How the trade of one unit that was advised ended, or where it is: `change` in percent, `holding` in hours."""

    time: int
    price: Decimal
    target_hit: bool
    stop_hit: bool
    change: float
    holding: float
    pnl: Decimal


def evaluate(advice: Advice, moved: Prices, max_holding: int | None = None) -> Outcome:
    """Follows the advice until a price reaches its target or its stop, or for `max_holding`, or to the last price.

    A trade ends at the target itself, but at the price that reached the stop. Raises NotEvaluable.
    """
    reference, target, stop = _levels(advice)
    first = bisect_right(moved.times, advice.time)
    end = len(moved.times) if max_holding is None else bisect_right(moved.times, advice.time + max_holding)
    if first >= end:
        raise NotEvaluable("there is no price after it")
    last = _reached(moved.prices, first, end, *((target, stop) if advice.side < 0 else (stop, target)))
    time, price = moved.times[last], moved.prices[last]
    target_hit = target is not None and (price - target) * advice.side >= 0
    stop_hit = stop is not None and (price - stop) * advice.side <= 0
    if target is not None and target_hit:
        price = target
    change = price - reference
    return Outcome(
        time,
        price,
        target_hit,
        stop_hit,
        change=float(change / reference * 100),
        holding=(time - advice.time) / HOUR,
        pnl=change * advice.side,
    )


def _levels(advice: Advice) -> tuple[Decimal, Decimal | None, Decimal | None]:
    """The reference price, the target and the stop. Raises NotEvaluable."""
    reference, target, stop = advice.reference, advice.target, advice.stop
    if reference is None or reference <= 0:
        raise NotEvaluable("it has no positive reference_price")
    if not advice.side:
        return reference, None, None
    better, worse = ("above", "below") if advice.side > 0 else ("below", "above")
    if target is not None and (target - reference) * advice.side <= 0:
        raise NotEvaluable(f"its target is not {better} its reference_price")
    if stop is not None and (stop - reference) * advice.side >= 0:
        raise NotEvaluable(f"its stop_loss is not {worse} its reference_price")
    return reference, target, stop


def _reached(prices: Sequence[Decimal], first: int, end: int, low: Decimal | None, high: Decimal | None) -> int:
    """Where the first price is that does not lie between the levels, or else the last one."""
    lowest = -INFINITY if low is None else low
    highest = INFINITY if high is None else high
    return next((place for place in range(first, end) if not lowest < prices[place] < highest), end - 1)
