"""Signals as the database has them, judged by prices: the evaluation of each, or the error instead."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5

from ai_grpc.errors import Error, FailedPrecondition
from ai_grpc.evaluation import Advice, NotEvaluable, Outcome, Prices, evaluate
from ai_grpc.exchange.publishing import error_message
from ai_grpc.records import message_of
from ai_grpc.v1 import errors_pb2
from ai_grpc.v1 import performance_pb2 as pb

SIDES: Final = {"BUY": 1, "SELL": -1, "HOLD": 0}
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


async def judged_by(
    prices: Mapping[str, Prices], signal: Any, end: pb.Evaluation | None, request: pb.EvaluateSignalsRequest
) -> pb.Evaluation | Error:
    """What became of a signal, or why that cannot be told. If its trade is known to have had an end, it is that unless
    the prices show something earlier."""
    # Following one signal may take a millisecond, and there may be many.
    await asyncio.sleep(0)
    longest = request.max_holding_period.ToMicroseconds() if request.HasField("max_holding_period") else None
    try:
        outcome = evaluate(_advice(signal), _prices(prices, signal), longest)
        if end is not None and outcome.time > end.evaluation_time.ToMicroseconds():
            return end
        return _evaluation(signal["signal_id"], outcome)
    except NotEvaluable as cause:
        return end or FailedPrecondition(
            errors_pb2.ERROR_REASON_SIGNAL_NOT_EVALUABLE,
            f"signal {signal['signal_id']} cannot be evaluated: {cause}",
            signal_id=signal["signal_id"],
            cause=cause,
        )


def _advice(signal: Any) -> Advice:
    if signal["begin_time"] is None:
        raise NotEvaluable("it has no market_data_time")
    begin = (signal["begin_time"] - EPOCH) // MICROSECOND
    return Advice(SIDES[signal["signal_type"]], begin, signal["reference_price"], signal["target"], signal["stop_loss"])


def _prices(prices: Mapping[str, Prices], signal: Any) -> Prices:
    if signal["symbol"] not in prices:
        raise NotEvaluable(f"there are no prices of {signal['symbol']}")
    return prices[signal["symbol"]]


def _evaluation(signal_id: str, outcome: Outcome) -> pb.Evaluation:
    price, pnl = (f"{number.normalize():f}" for number in (outcome.price, outcome.pnl))
    content = (outcome.time, price, outcome.target_hit, outcome.stop_hit, outcome.holding, pnl)
    evaluation = pb.Evaluation(
        performance_id=str(uuid5(UUID(signal_id), " ".join(map(str, content)))),
        signal_id=signal_id,
        actual_price=price,
        price_change_pct=outcome.change,
        target_hit=outcome.target_hit,
        stop_loss_hit=outcome.stop_hit,
        holding_period_hours=outcome.holding,
        pnl_if_executed=pnl,
    )
    evaluation.evaluation_time.FromMicroseconds(outcome.time)
    return evaluation


def result(judged: pb.Evaluation | Error, rows: Mapping[str, Any]) -> pb.EvaluationResult:
    """What was found of a signal, as it is stored; `rows` are those of the evaluations that were stored now, by id."""
    if isinstance(judged, Error):
        return pb.EvaluationResult(error=error_message(judged))
    if judged.performance_id not in rows:
        return pb.EvaluationResult(evaluation=judged, duplicate=True)
    row = rows[judged.performance_id]
    return pb.EvaluationResult(evaluation=message_of(pb.Evaluation, row), duplicate=row["duplicate"])
