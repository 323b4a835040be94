"""What can be called: every method of every service that the server itself names by reflection."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.descriptor_database import DescriptorDatabase
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

OURS: Final = "/ai_grpc."


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC, with message classes built from what the server says of itself."""

    path: str
    request: type[Message]
    response: type[Message]
    client_streaming: bool
    server_streaming: bool

    @property
    def service(self) -> str:
        """The full name of its service."""
        return self.path.split("/")[1]

    @property
    def is_ours(self) -> bool:
        """Whether the contract of ai_grpc says how it refuses, not that of gRPC's own services."""
        return self.path.startswith(OURS)

    @property
    def weight(self) -> float:
        """How much there is to get wrong."""
        descriptor: Any = self.request.DESCRIPTOR
        return math.sqrt(len(_fields_below(descriptor, set())) + 1)


async def surface(channel: grpc.aio.Channel) -> list[Method]:
    """All methods, in an order that is always the same."""
    files = DescriptorDatabase()
    answer = await _ask(channel, ServerReflectionRequest(list_services="*"))
    names = sorted(service.name for service in answer.list_services_response.service)
    for name in names:
        answer = await _ask(channel, ServerReflectionRequest(file_containing_symbol=name))
        for encoded in answer.file_descriptor_response.file_descriptor_proto:
            files.Add(FileDescriptorProto.FromString(encoded))
    pool = DescriptorPool(files)
    return [_method(method) for name in names for method in pool.FindServiceByName(name).methods]


async def _ask(channel: grpc.aio.Channel, request: ServerReflectionRequest) -> Any:
    async for response in ServerReflectionStub(channel).ServerReflectionInfo(iter([request]), timeout=10):
        return response
    raise RuntimeError("reflection did not answer")


def _method(method: MethodDescriptor) -> Method:
    return Method(
        f"/{method.containing_service.full_name}/{method.name}",
        GetMessageClass(method.input_type),
        GetMessageClass(method.output_type),
        method.client_streaming,
        method.server_streaming,
    )


def _fields_below(message: Descriptor, found: set[str]) -> set[str]:
    for field in message.fields:
        if field.full_name not in found:
            found.add(field.full_name)
            if field.message_type is not None:
                _fields_below(field.message_type, found)
    return found
