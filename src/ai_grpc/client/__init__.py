"""The Python SDK: publish signals, and subscribe to them and to all other events, over connections that may break."""

from ai_grpc.client.channel import connect
from ai_grpc.client.publication import Published, new_signal_id
from ai_grpc.client.publisher import SignalPublisher
from ai_grpc.client.status import error_of_call
from ai_grpc.client.subscribers import (
    AnomalySubscriber,
    GenerationSubscriber,
    ModelPerformanceSubscriber,
    SignalSubscriber,
)
from ai_grpc.client.sync import SyncPublisher, SyncSubscriber

__all__ = [
    "AnomalySubscriber",
    "GenerationSubscriber",
    "ModelPerformanceSubscriber",
    "Published",
    "SignalPublisher",
    "SignalSubscriber",
    "SyncPublisher",
    "SyncSubscriber",
    "connect",
    "error_of_call",
    "new_signal_id",
]
