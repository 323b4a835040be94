"""The streams that can be subscribed to, and a subscriber for each."""

from __future__ import annotations

from ai_grpc.client.messages import Stream
from ai_grpc.client.subscriber import Subscriber
from ai_grpc.v1.anomalies_pb2 import AnomalyEvent, AnomalyFilter, SubscribeAnomaliesRequest
from ai_grpc.v1.anomalies_pb2_grpc import AnomalyServiceStub
from ai_grpc.v1.optimization_pb2 import GenerationEvent, GenerationFilter, SubscribeGenerationsRequest
from ai_grpc.v1.optimization_pb2_grpc import OptimizationServiceStub
from ai_grpc.v1.performance_pb2 import (
    ModelPerformanceEvent,
    ModelPerformanceFilter,
    SubscribeModelPerformanceRequest,
)
from ai_grpc.v1.performance_pb2_grpc import PerformanceServiceStub
from ai_grpc.v1.signals_pb2 import SignalEvent, SignalFilter, SubscribeSignalsRequest
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub


class SignalSubscriber(Subscriber[SignalEvent, SignalFilter]):
    """Yields what happens to signals, each event once and in order, over as many connections as it takes.

    ```python
    async with SignalSubscriber(
        "localhost:50051",
        start="current",
        position=load_position(),
        filter=pb.SignalFilter(symbols=["EURUSD"]),
        max_age=timedelta(seconds=30),
    ) as subscriber:
        async for event in subscriber:
            trade(event)
            save_position(subscriber.position)
    ```
    """

    stream = Stream(
        SubscribeSignalsRequest,
        lambda channel: SignalServiceStub(channel).SubscribeSignals,
        lambda event: bool(event.kind == SignalEvent.KIND_PUBLISHED),
    )


class AnomalySubscriber(Subscriber[AnomalyEvent, AnomalyFilter]):
    """Yields the anomalies that are reported and resolved; with `start="current"` first those that are open."""

    stream = Stream(
        SubscribeAnomaliesRequest,
        lambda channel: AnomalyServiceStub(channel).SubscribeAnomalies,
        lambda event: bool(event.kind == AnomalyEvent.KIND_REPORTED),
    )


class GenerationSubscriber(Subscriber[GenerationEvent, GenerationFilter]):
    """Yields the generations of optimization runs as they are recorded."""

    stream = Stream(SubscribeGenerationsRequest, lambda channel: OptimizationServiceStub(channel).SubscribeGenerations)


class ModelPerformanceSubscriber(Subscriber[ModelPerformanceEvent, ModelPerformanceFilter]):
    """Yields the figures of models as they are computed."""

    stream = Stream(
        SubscribeModelPerformanceRequest, lambda channel: PerformanceServiceStub(channel).SubscribeModelPerformance
    )
