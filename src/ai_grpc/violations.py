"""Which fields of a request the database refused, and why, in the words of its constraints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import asyncpg
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from ai_grpc.errors import Error, InvalidArgument, Violation, missing
from ai_grpc.exchange.checks import is_uuid

# How PostgreSQL words a text that is no value of a type, or one that the type cannot hold.
TEXT: Final = re.compile(r'^(?:invalid input syntax for|value|.*out of range).*?"(?P<text>.*)"', re.DOTALL)

# Columns that have another name than the field of a request, where a constraint cannot say it.
FIELDS: Final = {"timestamp": "event_time", "training_metrics": "series"}

# How the words of constraints begin, and how those of a violation do. The first that fits is taken.
DEMANDS: Final = {
    "is required": "is required",
    "is not ": "must not be ",
    "is ": "must be ",
    "has ": "must have ",
}
REFERENCE: Final = re.compile(r"^Key \((?P<column>\w+)\)=\((?P<value>.*)\) is not present")

# The path of a field, its name, and its value.
Field = tuple[str, str, object]


def refused(error: Exception, message: Message, path: str = "", within: Message | None = None) -> Error:
    """What the database's refusal of a message says of its fields, each named by its path; `path` is the message's.

    If it was written together with the message that it is `within`, the refusal may be about the fields of that.
    """
    fields = [*(_fields(within, "") if within is not None else ()), *_fields(message, path)]
    match error:
        case asyncpg.ForeignKeyViolationError() if reference := REFERENCE.match(error.detail or ""):
            return missing(reference["column"], reference["value"])
        case asyncpg.IntegrityConstraintViolationError():
            return _violated(error, fields, path)
        case _:
            return _unstorable(error, fields, path)


def _violated(error: asyncpg.IntegrityConstraintViolationError, fields: Sequence[Field], path: str) -> InvalidArgument:
    """The field that a constraint's name begins with: `version_has_1_to_20_characters` speaks of `version`."""
    name = error.constraint_name or ""
    if isinstance(error, asyncpg.NotNullViolationError):
        # From PostgreSQL 18 on these have names, which are made from the table's.
        name = f"{error.column_name}_is_required"
    names = [name, *(field + name.removeprefix(column) for column, field in FIELDS.items() if name.startswith(column))]
    candidates = [(place, field, name) for name in names for place, field, _ in fields if name.startswith(f"{field}_")]
    nobody = path[:-1] or "request", "", name
    place, field, name = max(candidates, key=lambda candidate: len(candidate[1]), default=nobody)
    return InvalidArgument(Violation(place, _sentence(name.removeprefix(f"{field}_").replace("_", " "))))


def _sentence(words: str) -> str:
    """What a constraint demands, as a demand."""
    for beginning, demand in DEMANDS.items():
        if words.startswith(beginning):
            words = demand + words.removeprefix(beginning)
            break
    return words.replace(" kib", " KiB").replace(" mib", " MiB")


def _unstorable(error: Exception, fields: Sequence[Field], path: str) -> InvalidArgument:
    """The fields that hold no UUID where one belongs, or text that PostgreSQL cannot store."""
    quoted = TEXT.match(str(error))
    # If another value is at fault, an empty id may be left out.
    required = not quoted and not isinstance(error, asyncpg.CharacterNotInRepertoireError)
    violations = [
        Violation(place, description)
        for place, field, value in fields
        if (description := _description(field, value, quoted and quoted["text"], required)) is not None
    ]
    return InvalidArgument(*violations or [Violation(path[:-1] or "request", "holds a value that cannot be stored")])


def _fields(message: Message, path: str) -> Iterator[Field]:
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        yield path + field.name, field.name, value
        if field.is_repeated and field.type == field.TYPE_STRING:
            yield from ((f"{path}{field.name}[{index}]", field.name, text) for index, text in enumerate(value))
        if isinstance(value, Message) and not isinstance(value, Struct):
            yield from _fields(value, f"{path}{field.name}.")


def _description(field: str, value: object, quoted: str | None, required: bool) -> str | None:
    match value:
        case "" if field == "request_id":
            return None
        case str() if field.endswith("_id") and not is_uuid(value):
            if value:
                return "must be a UUID"
            return "is required" if required else None
        case str() if "\0" in value:
            return "holds a NUL character"
        case str() if quoted and value == quoted:
            return f"cannot be {value!r}"
    return None
