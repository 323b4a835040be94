"""The prices that a request gives, checked. All violations are found at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

from ai_grpc.errors import InvalidArgument, Violation, miscounted
from ai_grpc.evaluation import Prices
from ai_grpc.exchange.checks import MAX_VIOLATIONS, PRICE_RULE, TIME_RULE, is_price, is_time
from ai_grpc.v1 import performance_pb2 as pb

MAX_SERIES: Final = 100
MAX_PRICES: Final = 10_000
# As many take about a millisecond, for which the event loop does nothing else.
SLICE: Final = 500

Series = pb.EvaluateSignalsRequest.PriceSeries


async def prices_by_symbol(series: Sequence[Series]) -> dict[str, Prices]:
    """The prices of each symbol. Raises InvalidArgument."""
    if miscount := miscounted("series", len(series), 0, MAX_SERIES):
        raise InvalidArgument(*miscount)
    prices: dict[str, Prices] = {}
    violations: list[Violation] = []
    for index, one in enumerate(series):
        place = f"series[{index}]"
        if not 1 <= len(one.symbol) <= 32:
            violations.append(Violation(f"{place}.symbol", "must have 1 to 32 characters"))
        if one.symbol in prices:
            violations.append(Violation(f"{place}.symbol", "occurs twice"))
        if miscount := miscounted(f"{place}.prices", len(one.prices), 1, MAX_PRICES):
            violations += miscount
            continue
        prices[one.symbol] = await _prices(one, place, violations)
    if violations:
        raise InvalidArgument(*violations[:MAX_VIOLATIONS])
    return prices


async def _prices(series: Series, place: str, violations: list[Violation]) -> Prices:
    """The prices of one symbol, as far as nothing is wrong with them."""
    moved = Prices(times := [], prices := [])
    before = None
    for index, point in enumerate(series.prices):
        if not index % SLICE:
            await asyncio.sleep(0)
        time = point.time.seconds * 1_000_000 + point.time.nanos // 1000
        if faults := [
            Violation(f"{place}.prices[{index}].{field}", rule) for field, rule in _faults(point, time, before)
        ]:
            violations += faults
            if len(violations) > MAX_VIOLATIONS:
                break
        else:
            times.append(time)
            prices.append(Decimal(point.price))
            before = time
    return moved


def _faults(point: pb.EvaluateSignalsRequest.PricePoint, time: int, before: int | None) -> Iterator[tuple[str, str]]:
    """What is wrong with a price, as the field and the rule; `before` is the time of the one before."""
    if not point.HasField("time"):
        yield "time", "is required"
    elif not is_time(point.time.seconds, point.time.nanos):
        yield "time", TIME_RULE
    elif before is not None and time <= before:
        yield "time", "must be later than the one before"
    if not is_price(point.price):
        yield "price", PRICE_RULE
