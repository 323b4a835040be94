"""Which fields of a request the database refused, and why, in the words of its constraints."""

from __future__ import annotations

from collections.abc import Iterator

import asyncpg
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from ai_grpc.db import json_of
from ai_grpc.errors import InvalidArgument, Violation
from ai_grpc.exchange.checks import is_uuid


def violated_constraint(error: asyncpg.IntegrityConstraintViolationError, request: Message) -> InvalidArgument:
    """The field that a constraint's name begins with: `version_has_1_to_20_characters` speaks of `version`."""
    name = error.constraint_name or f"{error.column_name}_is_required"
    candidates = [(path, field) for path, field, _ in _fields(request) if name.startswith(f"{field}_")]
    path, field = max(candidates, key=lambda candidate: len(candidate[1]), default=("request", ""))
    return InvalidArgument(Violation(path, name.removeprefix(f"{field}_").replace("_", " ")))


def unstorable(request: Message) -> InvalidArgument:
    """The fields that hold no UUID where one belongs, or text or JSON that PostgreSQL cannot store."""
    violations = [
        Violation(path, description)
        for path, field, value in _fields(request)
        if (description := _description(field, value)) is not None
    ]
    return InvalidArgument(*violations or [Violation("request", "holds a value that cannot be stored")])


def _fields(request: Message, path: str = "") -> Iterator[tuple[str, str, object]]:
    for field in request.DESCRIPTOR.fields:
        value = getattr(request, field.name)
        yield path + field.name, field.name, value
        if isinstance(value, Message) and not isinstance(value, Struct):
            yield from _fields(value, f"{path}{field.name}.")


def _description(field: str, value: object) -> str | None:
    match value:
        case "" if field == "request_id":
            return None
        case str() if field.endswith("_id") and not is_uuid(value):
            return "must be a UUID" if value else "is required"
        case str() if "\0" in value:
            return "holds a NUL character"
        case Struct():
            try:
                json_of(value)
            except ValueError as error:
                return str(error)
    return None
