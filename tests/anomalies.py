"""Anomalies, as those report them who write by the service or by SQL, and those who watch."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Iterable
from typing import Any, Final, cast

import asyncpg
import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.v1 import anomalies_pb2 as pb
from ai_grpc.v1 import streams_pb2
from ai_grpc.v1.anomalies_pb2_grpc import AnomalyServiceStub
from tests import streams

DETECTION_TIME: Final = Timestamp(seconds=1_700_000_000, nanos=123_456_000)
CURRENT: Final = streams_pb2.Current()
REPORTED: Final = pb.AnomalyEvent.KIND_REPORTED
RESOLVED: Final = pb.AnomalyEvent.KIND_RESOLVED

# What somebody with psql writes.
INSERT: Final = """
INSERT INTO ai_trading.anomaly_detections (model_id, symbol, detection_timestamp, anomaly_type, severity_score)
VALUES ($1, $2, now(), 'volume_spike', 5.5) RETURNING anomaly_id::text
"""


def an_anomaly(model_id: Any, **changes: Any) -> pb.Anomaly:
    """An anomaly that can be reported, but for the changes; None leaves a field unset."""
    fields: dict[str, Any] = {
        "anomaly_id": str(uuid.uuid4()),
        "model_id": model_id,
        "symbol": "AAPL",
        "detection_time": DETECTION_TIME,
        "anomaly_type": "price_jump",
        "severity_score": 4.25,
    }
    return pb.Anomaly(**{**fields, **changes})


def report(channel: grpc.aio.Channel, *anomalies: pb.Anomaly) -> Awaitable[pb.ReportAnomaliesResponse]:
    """Reports the anomalies in one request."""
    return AnomalyServiceStub(channel).ReportAnomalies(pb.ReportAnomaliesRequest(anomalies=anomalies))


async def resolve(channel: grpc.aio.Channel, anomaly_id: str, note: str = "") -> pb.Anomaly:
    """The anomaly, resolved."""
    request = pb.ResolveAnomalyRequest(anomaly_id=anomaly_id, resolution_note=note)
    return (await AnomalyServiceStub(channel).ResolveAnomaly(request)).anomaly


async def anomaly(channel: grpc.aio.Channel, anomaly_id: str) -> pb.Anomaly:
    """The anomaly as it is."""
    return (await AnomalyServiceStub(channel).GetAnomaly(pb.GetAnomalyRequest(anomaly_id=anomaly_id))).anomaly


def watch(channel: grpc.aio.Channel, **request: Any) -> Any:
    """A subscription, with the latest event behind it unless it says where to begin; read as that of signals."""
    message = pb.SubscribeAnomaliesRequest(**request)
    if message.WhichOneof("start") is None:
        message.latest.SetInParent()
    return AnomalyServiceStub(channel).SubscribeAnomalies(message)


async def events(call: Any, count: int) -> list[pb.AnomalyEvent]:
    """The next events, so many and no more."""
    return cast(list[pb.AnomalyEvent], await streams.events(call, count))


async def until(call: Any, kind: str) -> list[pb.SubscribeAnomaliesResponse]:
    """The next messages, up to and with the first of a kind."""
    return cast(list[pb.SubscribeAnomaliesResponse], await streams.until(call, kind))


def events_in(messages: Iterable[pb.SubscribeAnomaliesResponse]) -> list[pb.AnomalyEvent]:
    """The events that the messages carry."""
    return [event for message in messages for event in message.batch.events]


def sequences(received: Iterable[pb.AnomalyEvent]) -> list[int]:
    """Where in the log the events are."""
    return [event.sequence for event in received]


def ids(received: Iterable[pb.AnomalyEvent]) -> list[str]:
    """Which anomalies the events are about."""
    return [event.anomaly.anomaly_id for event in received]


async def session(database: str, **settings: str) -> asyncpg.Connection:
    """Somebody with psql."""
    return await asyncpg.connect(database, timeout=10, server_settings=settings)
