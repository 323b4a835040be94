"""Messages of a subscription as a counting client reads them: of an event its sequence, all else stays as it came."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ai_grpc.v1 import signals_pb2 as pb

FieldProto = descriptor_pb2.FieldDescriptorProto
PACKAGE = "ai_grpc.benchmarks"


def _slim() -> Any:
    """The class of SubscribeSignalsResponse with fewer fields; its parser steps over the others."""
    response, batch = pb.SubscribeSignalsResponse, pb.SubscribeSignalsResponse.SignalBatch
    file = descriptor_pb2.FileDescriptorProto(name="ai_grpc/benchmarks/frames.proto", package=PACKAGE, syntax="proto3")
    file.message_type.add(name="Event").field.add(
        name="sequence",
        number=pb.SignalEvent.SEQUENCE_FIELD_NUMBER,
        type=FieldProto.TYPE_INT64,
        label=FieldProto.LABEL_OPTIONAL,
    )
    file.message_type.add(name="Batch").field.add(
        name="events",
        number=batch.EVENTS_FIELD_NUMBER,
        type=FieldProto.TYPE_MESSAGE,
        type_name=f".{PACKAGE}.Event",
        label=FieldProto.LABEL_REPEATED,
    )
    file.message_type.add(name="Frame").field.add(
        name="batch",
        number=response.BATCH_FIELD_NUMBER,
        type=FieldProto.TYPE_MESSAGE,
        type_name=f".{PACKAGE}.Batch",
        label=FieldProto.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.Frame"))


Frame = _slim()


def sequences(message: bytes) -> list[int]:
    """Where in the log the events of a message are; empty for one that carries none."""
    return [event.sequence for event in Frame.FromString(message).batch.events]
