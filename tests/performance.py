"""Evaluations, prices and the performance of models: the words that their tests share."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.v1 import performance_pb2 as pb
from ai_grpc.v1.performance_pb2_grpc import PerformanceServiceStub
from ai_grpc.v1.periods_pb2 import Period
from tests.signals import SIGNAL_TIME, a_signal, publish

FIRST_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
YEAR: Final = Period(start_date="2026-01-01", end_date="2027-01-01")

# What each day of a model brought: the returns of ecosystem's golden vector.
GOLDEN: Final = [0.01, -0.02, 0.015, 0.0, 0.03, -0.01, -0.005, 0.02]


def an_evaluation(signal_id: str, **changes: Any) -> pb.Evaluation:
    """An evaluation that can be recorded, but for the changes; None leaves a field unset."""
    fields: dict[str, Any] = {
        "performance_id": str(uuid.uuid4()),
        "signal_id": signal_id,
        "evaluation_time": on_day(0),
        "actual_price": "101.5",
        "price_change_pct": 1.5,
        "holding_period_hours": 36.5,
        "pnl_if_executed": "1.5",
    }
    return pb.Evaluation(**{**fields, **changes})


def on_day(number: float) -> Timestamp:
    """Noon of a day of 2026, the first of which is 0."""
    time = Timestamp()
    time.FromDatetime(FIRST_DAY + timedelta(days=number, hours=12))
    return time


def after(hours: float) -> Timestamp:
    """A time so long after SIGNAL_TIME."""
    time = Timestamp()
    time.FromDatetime(SIGNAL_TIME.ToDatetime(UTC) + timedelta(hours=hours))
    return time


def hours(number: float) -> Duration:
    """So many of them."""
    return Duration(seconds=round(number * 3600))


def moved(symbol: str, *prices: str) -> pb.EvaluateSignalsRequest.PriceSeries:
    """A price for each hour after SIGNAL_TIME."""
    request = pb.EvaluateSignalsRequest
    points = [request.PricePoint(time=after(hour), price=price) for hour, price in enumerate(prices, 1)]
    return request.PriceSeries(symbol=symbol, prices=points)


async def signals(channel: grpc.aio.Channel, model_id: str, *changes: dict[str, Any]) -> list[str]:
    """The ids of signals published just now, one for each set of changes."""
    made = [a_signal(model_id, **{"reference_price": "100", **each}) for each in changes]
    await publish(channel, *made)
    return [signal.signal_id for signal in made]


def evaluate(
    channel: grpc.aio.Channel, signal_ids: Sequence[str], *series: pb.EvaluateSignalsRequest.PriceSeries, **more: Any
) -> Awaitable[pb.EvaluateSignalsResponse]:
    """Evaluates the signals against the prices."""
    request = pb.EvaluateSignalsRequest(signal_ids=signal_ids, series=series, **more)
    return PerformanceServiceStub(channel).EvaluateSignals(request)


def record(channel: grpc.aio.Channel, *evaluations: pb.Evaluation) -> Awaitable[pb.RecordEvaluationsResponse]:
    """Records the evaluations in one request."""
    return PerformanceServiceStub(channel).RecordEvaluations(pb.RecordEvaluationsRequest(evaluations=evaluations))


async def recorded(channel: grpc.aio.Channel, **selection: Any) -> list[pb.Evaluation]:
    """The evaluations that a list holds."""
    request = pb.ListEvaluationsRequest(page_size=1000, **selection)
    return list((await PerformanceServiceStub(channel).ListEvaluations(request)).evaluations)


def an_update(model_id: str, **changes: Any) -> pb.UpdateModelPerformanceRequest:
    """A computation of the performance of a model, but for the changes."""
    fields = {"performance_id": str(uuid.uuid4()), "model_id": model_id, "evaluation_period": YEAR}
    return pb.UpdateModelPerformanceRequest(**{**fields, **changes})


async def performance(channel: grpc.aio.Channel, model_id: str, **changes: Any) -> pb.ModelPerformance:
    """The performance of a model, computed just now."""
    response = await PerformanceServiceStub(channel).UpdateModelPerformance(an_update(model_id, **changes))
    return response.performance


async def days(channel: grpc.aio.Channel, model_id: str, returns: Sequence[float]) -> None:
    """Makes the model evaluate to these returns, one a day."""
    ids = await signals(channel, model_id, *({"signal_time": on_day(day)} for day in range(len(returns))))
    await record(
        channel,
        *(
            an_evaluation(
                signal_id,
                evaluation_time=on_day(day),
                price_change_pct=value * 100,
                pnl_if_executed=f"{value * 100:.6f}",
            )
            for day, (signal_id, value) in enumerate(zip(ids, returns, strict=True))
        ),
    )
