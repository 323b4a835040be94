"""What became of the signals, as the service judges them by the closing prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from ai_grpc.client import connect
from ai_grpc.demo.prices import Series, load
from ai_grpc.v1 import performance_pb2 as pb
from ai_grpc.v1 import performance_pb2_grpc, periods_pb2

JUDGMENT_TIMEOUT = 30.0
MOST_SIGNALS = 1000
BUCKETS = 5
SECONDS_PER_YEAR = 365.25 * 86_400


@dataclass(frozen=True)
class Judgment:
    """How good a model was on the trading part, and whether it was as often right as it was sure to be."""

    performance: pb.ModelPerformance
    calibration: pb.GetCalibrationResponse


async def judge(
    target: str, model_ids: Mapping[str, str], signal_ids: Mapping[str, Sequence[str]]
) -> dict[str, Judgment]:
    """Evaluates the signals of each symbol, and from that the performance of its model."""
    async with connect(target) as channel:
        stub: performance_pb2_grpc.PerformanceServiceAsyncStub = performance_pb2_grpc.PerformanceServiceStub(channel)
        return {symbol: await _judge(stub, load(symbol), model_ids[symbol], ids) for symbol, ids in signal_ids.items()}


async def _judge(
    stub: performance_pb2_grpc.PerformanceServiceAsyncStub, series: Series, model_id: str, signal_ids: Sequence[str]
) -> Judgment:
    days = set()
    for begin in range(0, len(signal_ids), MOST_SIGNALS):
        part = signal_ids[begin : begin + MOST_SIGNALS]
        evaluated = await stub.EvaluateSignals(evaluation_request(series, part), timeout=JUDGMENT_TIMEOUT)
        ends = (one.evaluation.evaluation_time for one in evaluated.results if one.HasField("evaluation"))
        days |= {end.ToDatetime(UTC).date() for end in ends}
    request = performance_request(series, model_id, len(days))
    updated = await stub.UpdateModelPerformance(request, timeout=JUDGMENT_TIMEOUT)
    asked = pb.GetCalibrationRequest(
        model_id=model_id, evaluation_period=request.evaluation_period, bucket_count=BUCKETS
    )
    return Judgment(updated.performance, await stub.GetCalibration(asked, timeout=JUDGMENT_TIMEOUT))


def evaluation_request(series: Series, signal_ids: Sequence[str]) -> pb.EvaluateSignalsRequest:
    """The signals, to be followed through the closes of the trading part from the bars on that they were made from."""
    moved = pb.EvaluateSignalsRequest.PriceSeries(symbol=series.symbol)
    decimals = series.market.decimals
    for time, close in zip(series.times[series.split :], series.close[series.split :].tolist(), strict=True):
        moved.prices.add(price=f"{close:.{decimals}f}").time.FromDatetime(time)
    return pb.EvaluateSignalsRequest(signal_ids=signal_ids, series=[moved], use_market_data_time=True)


def performance_request(series: Series, model_id: str, days: int) -> pb.UpdateModelPerformanceRequest:
    """The performance since the trading part began.

    The signals were made today, of bars of the past: the period has both. Returns are of the days on which a trade
    ended, so a year has as many as there were of these, not 252.
    """
    begin, end = series.times[series.split], series.times[-1]
    period = periods_pb2.Period(
        start_date=f"{begin:%Y-%m-%d}", end_date=f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    )
    return pb.UpdateModelPerformanceRequest(
        performance_id=str(uuid5(UUID(model_id), "trading part")),
        model_id=model_id,
        evaluation_period=period,
        periods_per_year=max(1.0, days * SECONDS_PER_YEAR / (end - begin).total_seconds()),
    )
