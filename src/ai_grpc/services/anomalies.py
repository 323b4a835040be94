"""AnomalyService: what models find abnormal, and who watches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import Message

from ai_grpc.errors import AlreadyExists, FailedPrecondition, taken
from ai_grpc.exchange.checks import check_selection
from ai_grpc.exchange.topics import Topics, TopicSelection, some
from ai_grpc.records import Records
from ai_grpc.v1 import anomalies_pb2 as pb
from ai_grpc.v1 import errors_pb2
from ai_grpc.v1.anomalies_pb2_grpc import AnomalyServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class AnomalyServicer(AnomalyServiceServicer):
    """Answers from the records of anomalies; what happens to them is heard by those who subscribe to the topic."""

    def __init__(self, records: Records, topics: Topics) -> None:
        self._records, self._topics = records, topics

    async def ReportAnomalies(self, request: pb.ReportAnomaliesRequest, context: Context) -> pb.ReportAnomaliesResponse:
        rows = await self._records.write("report_anomalies", request.anomalies, "anomalies", ("anomaly_id",), _exists)
        self._topics.changed()
        duplicates = {row["anomaly_id"]: row["duplicate"] for row in rows}
        ids = [anomaly.anomaly_id.lower() for anomaly in request.anomalies]
        results = [pb.ReportResult(anomaly_id=own, duplicate=duplicates[own]) for own in ids]
        return pb.ReportAnomaliesResponse(results=results)

    async def GetAnomaly(self, request: pb.GetAnomalyRequest, context: Context) -> pb.GetAnomalyResponse:
        return pb.GetAnomalyResponse(anomaly=await self._anomaly(request))

    async def ListAnomalies(self, request: pb.ListAnomaliesRequest, context: Context) -> pb.ListAnomaliesResponse:
        check_selection(request.symbols, request.model_ids, min_severity=request.min_severity)
        anomalies, token = await self._records.page(pb.Anomaly, "list_anomalies", request)
        return pb.ListAnomaliesResponse(anomalies=anomalies, next_page_token=token)

    async def ResolveAnomaly(self, request: pb.ResolveAnomalyRequest, context: Context) -> pb.ResolveAnomalyResponse:
        await self._records.row("resolve_anomaly", request)
        self._topics.changed()
        anomaly = await self._anomaly(request)
        if anomaly.resolution_note != request.resolution_note:
            raise FailedPrecondition(
                errors_pb2.ERROR_REASON_ANOMALY_RESOLVED,
                f"anomaly {anomaly.anomaly_id} was resolved with another note",
                anomaly_id=anomaly.anomaly_id,
            )
        return pb.ResolveAnomalyResponse(anomaly=anomaly)

    def SubscribeAnomalies(  # type: ignore[override]  # yields encoded messages: see interceptors._serialize
        self, request: pb.SubscribeAnomaliesRequest, context: Context
    ) -> AsyncIterator[bytes]:
        return self._topics.messages(pb.SubscribeAnomaliesResponse, _selection, request)

    async def _anomaly(self, request: Message) -> pb.Anomaly:
        return await self._records.one(pb.Anomaly, "get_anomaly", request, "anomaly_id")


def _exists(anomaly: pb.Anomaly) -> AlreadyExists:
    return taken("anomaly_id", anomaly.anomaly_id)


def _selection(request: pb.SubscribeAnomaliesRequest) -> TopicSelection:
    """What a subscriber wants. Raises InvalidArgument."""
    wanted = request.filter
    kinds = [("kinds", wanted.kinds, pb.AnomalyEvent.Kind.values())]
    check_selection(wanted.symbols, wanted.model_ids, kinds, path="filter.", min_severity=wanted.min_severity)
    return TopicSelection(
        topic="ANOMALY",
        kinds=some(pb.AnomalyEvent.Kind.Name(kind).removeprefix("KIND_") for kind in wanted.kinds),
        symbols=some(wanted.symbols),
        model_ids=some(model_id.lower() for model_id in wanted.model_ids),
        min_severity=wanted.min_severity or None,
    )
