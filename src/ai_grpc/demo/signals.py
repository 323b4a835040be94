"""Entries of the rules as signals of the contract, and back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC

from ai_grpc.demo.paper import Trade
from ai_grpc.demo.prices import Series
from ai_grpc.demo.rules import Entry, Side
from ai_grpc.v1 import signals_pb2 as pb

GOOD_FOR_SECONDS = 300


def confidence(entry: Entry, training: Sequence[Trade]) -> float:
    """The share of training trades of the same rule and direction that won, with one of each added."""
    alike = [one for one in training if (one.entry.rule, one.entry.side) == (entry.rule, entry.side)]
    return round((sum(one.profit > 0 for one in alike) + 1) / (len(alike) + 2), 4)


def to_signal(entry: Entry, series: Series, *, model_id: str, confidence: float) -> pb.Signal:
    """The signal that an entry is, made now; the SDK gives it an id."""

    def decimal(price: float) -> str:
        return f"{price:.{series.market.decimals}f}"

    now = time.time_ns() // 1000 * 1000
    signal = pb.Signal(
        model_id=model_id,
        symbol=series.symbol,
        signal_type=pb.SIGNAL_TYPE_BUY if entry.side == Side.BUY else pb.SIGNAL_TYPE_SELL,
        confidence=confidence,
        price_target=decimal(entry.price_target),
        stop_loss=decimal(entry.stop_loss),
        take_profit=decimal(entry.take_profit),
        reference_price=decimal(entry.price),
    )
    signal.market_data_time.FromDatetime(series.times[entry.bar])
    signal.metadata.update({"rule": entry.rule, "bar": entry.bar, **entry.indicators})
    signal.signal_time.FromNanoseconds(now)
    signal.expire_time.FromNanoseconds(now + GOOD_FOR_SECONDS * 10**9)
    return signal


def to_entry(signal: pb.Signal, series: Series) -> Entry:
    """What a bot makes of a signal, with the bar found by its time among the bot's own prices."""
    return Entry(
        bar=series.times.index(signal.market_data_time.ToDatetime(UTC)),
        side=Side.BUY if signal.signal_type == pb.SIGNAL_TYPE_BUY else Side.SELL,
        rule=str(signal.metadata["rule"]),
        price=float(signal.reference_price),
        stop_loss=float(signal.stop_loss),
        take_profit=float(signal.take_profit),
        price_target=float(signal.price_target),
        indicators={},
    )
