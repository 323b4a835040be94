"""PerformanceService: what became of signals, and how good their models are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import grpc

from ai_grpc.errors import AlreadyExists, Error, InvalidArgument, Violation, miscounted, missing, taken
from ai_grpc.exchange.checks import MAX_VIOLATIONS, check_ids, is_uuid
from ai_grpc.exchange.topics import Topics, TopicSelection, some
from ai_grpc.judgment import judged_by, result
from ai_grpc.price_series import prices_by_symbol
from ai_grpc.records import Records, message_of
from ai_grpc.v1 import errors_pb2
from ai_grpc.v1 import performance_pb2 as pb
from ai_grpc.v1.performance_pb2_grpc import PerformanceServiceServicer

MAX_SIGNALS: Final = 1000
MAX_BUCKETS: Final = 100
DEFAULT_BUCKETS: Final = 10

Context = grpc.aio.ServicerContext[Any, Any]


class PerformanceServicer(PerformanceServiceServicer):
    """Answers from the records of performance; what it computes for models is a topic."""

    def __init__(self, records: Records, topics: Topics) -> None:
        self._records, self._topics = records, topics

    async def RecordEvaluations(
        self, request: pb.RecordEvaluationsRequest, context: Context
    ) -> pb.RecordEvaluationsResponse:
        rows = await self._records.write(
            "record_evaluations", request.evaluations, "evaluations", ("performance_id",), _exists
        )
        return pb.RecordEvaluationsResponse(duplicates=sum(row["duplicate"] for row in rows))

    async def EvaluateSignals(self, request: pb.EvaluateSignalsRequest, context: Context) -> pb.EvaluateSignalsResponse:
        signals = await self._signals(request)
        prices = await prices_by_symbol(request.series)
        rows = await self._records.rows("get_ends", request, fresh=True)
        ends = {row["signal_id"]: message_of(pb.Evaluation, row) for row in rows}
        judged = [await judged_by(prices, signal, ends.get(signal["signal_id"]), request) for signal in signals]
        stored = await self._stored({f"signal_ids[{n}]": one for n, one in enumerate(judged)})
        return pb.EvaluateSignalsResponse(results=[result(one, stored) for one in judged])

    async def ListEvaluations(self, request: pb.ListEvaluationsRequest, context: Context) -> pb.ListEvaluationsResponse:
        evaluations, token = await self._records.page(pb.Evaluation, "list_evaluations", request)
        return pb.ListEvaluationsResponse(evaluations=evaluations, next_page_token=token)

    async def UpdateModelPerformance(
        self, request: pb.UpdateModelPerformanceRequest, context: Context
    ) -> pb.UpdateModelPerformanceResponse:
        row = await self._records.row("update_model_performance", request)
        if row is None:
            raise AlreadyExists(
                errors_pb2.ERROR_REASON_MODEL_PERFORMANCE_EXISTS,
                f"performance {request.performance_id} was computed with other arguments; take a new id",
                performance_id=request.performance_id,
            )
        self._topics.changed()
        return pb.UpdateModelPerformanceResponse(
            performance=message_of(pb.ModelPerformance, row), duplicate=row["duplicate"]
        )

    async def GetModelPerformanceHistory(
        self, request: pb.GetModelPerformanceHistoryRequest, context: Context
    ) -> pb.GetModelPerformanceHistoryResponse:
        performances, token = await self._records.page(pb.ModelPerformance, "get_model_performance_history", request)
        if not performances:
            await self._check_model(request)
        return pb.GetModelPerformanceHistoryResponse(performances=performances, next_page_token=token)

    async def GetLatestModelPerformance(
        self, request: pb.GetLatestModelPerformanceRequest, context: Context
    ) -> pb.GetLatestModelPerformanceResponse:
        performances, token = await self._records.page(pb.ModelPerformance, "get_latest_model_performance", request)
        return pb.GetLatestModelPerformanceResponse(performances=performances, next_page_token=token)

    async def GetCalibration(self, request: pb.GetCalibrationRequest, context: Context) -> pb.GetCalibrationResponse:
        if not 0 <= request.bucket_count <= MAX_BUCKETS:
            raise InvalidArgument(Violation("bucket_count", f"must be from 1 to {MAX_BUCKETS}, or 0"))
        rows = await self._records.rows(
            "get_calibration", request, bucket_count=request.bucket_count or DEFAULT_BUCKETS
        )
        if not rows:
            await self._check_model(request)
        buckets = [message_of(pb.GetCalibrationResponse.Bucket, row) for row in rows]
        return pb.GetCalibrationResponse(
            buckets=buckets,
            evaluated_signals=sum(bucket.evaluated_signals for bucket in buckets),
            expected_calibration_error=rows[0]["expected_calibration_error"] if rows else None,
        )

    def SubscribeModelPerformance(  # type: ignore[override]  # yields encoded messages: see interceptors._serialize
        self, request: pb.SubscribeModelPerformanceRequest, context: Context
    ) -> AsyncIterator[bytes]:
        return self._topics.messages(pb.SubscribeModelPerformanceResponse, _selection, request)

    async def _check_model(self, request: pb.GetModelPerformanceHistoryRequest | pb.GetCalibrationRequest) -> None:
        """Raises NotFound."""
        if await self._records.row("find_model", request) is None:
            raise missing("model_id", request.model_id)

    async def _signals(self, request: pb.EvaluateSignalsRequest) -> list[Any]:
        """The signals to evaluate, in the order of the request. Raises InvalidArgument and NotFound."""
        _check_evaluation(request)
        rows = await self._records.rows("get_signals_to_evaluate", request, fresh=True)
        signals = {row["signal_id"]: row for row in rows}
        for signal_id in request.signal_ids:
            if signal_id.lower() not in signals:
                raise missing("signal_id", signal_id)
        return [signals[signal_id.lower()] for signal_id in request.signal_ids]

    async def _stored(self, judged: Mapping[str, pb.Evaluation | Error]) -> dict[str, Any]:
        """The rows of the evaluations among what is given by its place that were not stored before, by their ids."""
        evaluations = {
            place: one
            for place, one in judged.items()
            if isinstance(one, pb.Evaluation) and not one.HasField("create_time")
        }
        if not evaluations:
            return {}
        batch = await self._records.prepare(
            "record_evaluations", list(evaluations.values()), list(evaluations), ("performance_id",), _exists
        )
        return {row["performance_id"]: row for row in await self._records.store(batch)}


def _check_evaluation(request: pb.EvaluateSignalsRequest) -> None:
    """Raises InvalidArgument for anything but the prices."""
    ids = request.signal_ids
    if miscount := miscounted("signal_ids", len(ids), 1, MAX_SIGNALS):
        raise InvalidArgument(*miscount)
    first: dict[str, int] = {}
    violations = []
    for number, signal_id in enumerate(ids):
        if not is_uuid(signal_id):
            violations.append(Violation(f"signal_ids[{number}]", "must be a UUID"))
        elif (other := first.setdefault(signal_id.lower(), number)) != number:
            violations.append(Violation(f"signal_ids[{number}]", f"repeats signal_ids[{other}]"))
    if request.HasField("max_holding_period") and request.max_holding_period.ToMicroseconds() <= 0:
        violations.append(Violation("max_holding_period", "must be longer than 0"))
    if violations:
        raise InvalidArgument(*violations[:MAX_VIOLATIONS])


def _exists(recorded: pb.Evaluation) -> AlreadyExists:
    return taken("performance_id", recorded.performance_id)


def _selection(request: pb.SubscribeModelPerformanceRequest) -> TopicSelection:
    """What a subscriber wants. Raises InvalidArgument."""
    model_ids = request.filter.model_ids
    check_ids({"filter.model_ids": model_ids})
    return TopicSelection("PERFORMANCE", model_ids=some(model_id.lower() for model_id in model_ids))
