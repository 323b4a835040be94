"""What the logs are about, as the contract has it: signals, anomalies and generations, with their streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message
from grpc import aio

from ai_grpc.client import AnomalySubscriber, GenerationSubscriber, SignalSubscriber
from ai_grpc.v1 import anomalies_pb2, optimization_pb2, signals_pb2
from ai_grpc.v1.anomalies_pb2_grpc import AnomalyServiceStub
from ai_grpc.v1.optimization_pb2_grpc import OptimizationServiceStub
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.chaos.history import Seen, Sent


class Noun(NamedTuple):
    """A noun that has a stream. `own` is what the server adds to the message, `kinds` what happens to it in the log,
    and `sdk` the subscriber of the SDK."""

    field: str
    plural: str
    message: type[Any]
    key: Callable[[Any], str]
    own: Sequence[str]
    kinds: Sequence[str]
    wanted: type[Any]
    request: type[Any]
    response: type[Any]
    subscribe: Callable[[aio.Channel], Callable[[Any], Any]]
    sdk: type[Any]


SIGNAL: Final = Noun(
    "signal",
    "signals",
    signals_pb2.Signal,
    lambda signal: str(signal.signal_id),
    ("state", "create_time"),
    ("PUBLISHED", "EXECUTED", "CANCELLED", "EXPIRED"),
    signals_pb2.SignalFilter,
    signals_pb2.SubscribeSignalsRequest,
    signals_pb2.SubscribeSignalsResponse,
    lambda channel: SignalServiceStub(channel).SubscribeSignals,
    SignalSubscriber,
)
ANOMALY: Final = Noun(
    "anomaly",
    "anomalies",
    anomalies_pb2.Anomaly,
    lambda anomaly: str(anomaly.anomaly_id),
    ("resolved", "resolve_time", "resolution_note", "create_time"),
    ("REPORTED", "RESOLVED"),
    anomalies_pb2.AnomalyFilter,
    anomalies_pb2.SubscribeAnomaliesRequest,
    anomalies_pb2.SubscribeAnomaliesResponse,
    lambda channel: AnomalyServiceStub(channel).SubscribeAnomalies,
    AnomalySubscriber,
)
GENERATION: Final = Noun(
    "generation",
    "generations",
    optimization_pb2.Generation,
    lambda generation: f"{generation.run_id}/{generation.generation}",
    ("create_time",),
    ("RECORDED",),
    optimization_pb2.GenerationFilter,
    optimization_pb2.SubscribeGenerationsRequest,
    optimization_pb2.SubscribeGenerationsResponse,
    lambda channel: OptimizationServiceStub(channel).SubscribeGenerations,
    GenerationSubscriber,
)
NOUNS: Final = (SIGNAL, ANOMALY, GENERATION)
_OF: Final = {kind: noun for noun in NOUNS for kind in (noun.message, noun.wanted)}
_OF_KIND: Final = {kind: noun for noun in NOUNS for kind in noun.kinds}

# With these a thing comes into its log; by any other event it ends.
BEGINNINGS: Final = frozenset(noun.kinds[0] for noun in NOUNS)


def noun_of(what: Message) -> Noun:
    """That of a message, or of a filter."""
    return _OF[type(what)]


def noun_of_kind(kind: str) -> Noun:
    """That to which such an event happens."""
    return _OF_KIND[kind.partition(" ")[0]]


def content_of(message: Message) -> bytes:
    """What its author said, without what the server adds: equal for equal content, whoever gives it."""
    said = type(message)()
    said.CopyFrom(message)
    for field in noun_of(message).own:
        said.ClearField(field)
    return said.SerializeToString(deterministic=True)


def sent_of(messages: Sequence[Message]) -> tuple[Sent, ...]:
    """The items of a request."""
    return tuple(Sent(noun_of(message).key(message), content_of(message)) for message in messages)


def kind_of(kind: str, message: Any) -> str:
    """What happened; if something was resolved, with the note, which tells who has won."""
    return f"{kind} {message.resolution_note}" if kind == "RESOLVED" else kind


def seen_of(event: Any) -> Seen:
    """An event of any of the streams."""
    noun = next(noun for noun in NOUNS if noun.field in event.DESCRIPTOR.fields_by_name)
    message = getattr(event, noun.field)
    kind = event.Kind.Name(event.kind).removeprefix("KIND_") if len(noun.kinds) > 1 else noun.kinds[0]
    return Seen(event.sequence, kind_of(kind, message), noun.key(message), content_of(message))
