"""The fields of messages, in the form in which asyncpg sends them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from operator import attrgetter
from typing import Any, Final

import asyncpg
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.db import json_list_of, json_of
from ai_grpc.errors import InvalidArgument, Violation
from ai_grpc.exchange.checks import check_time, is_uuid
from ai_grpc.v1.periods_pb2 import Period

Reader = Callable[[Any], object]

MAX_NUMBERS: Final = 3 * 1024 * 1024
MAX_EXPONENT: Final = 324
EXPONENT: Final = re.compile(r"e([+-]\d+)")
# The longest of a google.protobuf.Duration: 10,000 years.
MAX_SECONDS: Final = 315_576_000_000

# A number takes 3 bytes as JSON and 11 in a message, and all else less than 4 times as much: what has more than that is
# too large for its column, and need not be converted to find that out.
LARGE: Final = frozenset({"convergence_data", "facts", "final_population"})
MAX_STRUCT: Final = 4 * 64 * 1024

# The texts that are exact numbers, and how these are written.
DECIMALS: Final = frozenset({"actual_price", "final_portfolio_value", "pnl_if_executed"})
is_decimal: Final = re.compile(r"(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?)?").fullmatch


@cache
def reader(descriptor: Descriptor, name: str, *, listed: bool = False) -> Reader:
    """What reads a field of a message: None if it is unset, an id in lower case, an enum by its name without the
    prefix, JSON as text. If `listed`, the parameter is an array with an element for each message.

    The reader raises InvalidArgument for what cannot be sent.
    """
    field = descriptor.fields_by_name[name]
    if field.enum_type:
        prefix = field.enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED")
        names = {value.number: value.name.removeprefix(prefix) for value in field.enum_type.values if value.number}
        if field.is_repeated:
            return lambda message: [_enum(name, names, number) for number in getattr(message, name)]
        return lambda message: _enum(name, names, getattr(message, name))
    if field.is_repeated:
        # An array of arrays could not have some longer than others.
        return lambda message: numbers(name, getattr(message, name)) if listed else list(getattr(message, name))
    if field.message_type:
        convert = CONVERSIONS[field.message_type.full_name]
        return lambda message: convert(name, getattr(message, name)) if message.HasField(name) else None
    if field.has_presence:
        return lambda message: getattr(message, name) if message.HasField(name) else None
    if field.type == FieldDescriptor.TYPE_STRING and name.endswith("_id"):
        return lambda message: _id(name, getattr(message, name))
    if name in DECIMALS:
        return lambda message: _decimal(name, getattr(message, name))
    return lambda message: getattr(message, name)


@cache
def guards(descriptor: Descriptor, names: tuple[str, ...]) -> list[Reader]:
    """Readers for the fields that are not among the names: what the server sets. They raise InvalidArgument if it is
    set."""
    return [_guard(field) for field in descriptor.fields if field.name not in names]


def _guard(field: FieldDescriptor) -> Reader:
    name = field.name
    is_set: Reader = (lambda message: message.HasField(name)) if field.has_presence else attrgetter(name)

    def guard(message: Message) -> None:
        if is_set(message):
            raise InvalidArgument(Violation(name, "is set by the server"))

    return guard


def numbers(name: str, values: Sequence[float]) -> str:
    """A sequence of numbers as JSON. Raises InvalidArgument."""
    text = str(list(values))
    if "n" in text:
        raise InvalidArgument(Violation(name, "holds a number that is not finite"))
    # PostgreSQL writes all digits of a number out, of which 1e308 has 309. Mostly it is enough to count such numbers.
    size = len(text) + MAX_EXPONENT * text.count("e")
    if size > MAX_NUMBERS:
        size = len(text) + sum(abs(int(exponent)) for exponent in EXPONENT.findall(text))
    if size > MAX_NUMBERS:
        raise InvalidArgument(Violation(name, "must have at most 3 MiB as JSON, in which 1e308 has 309 digits"))
    return text


def _enum(name: str, names: Mapping[int, str], number: int) -> str | None:
    if number and number not in names:
        raise InvalidArgument(Violation(name, f"has no meaning: {number}"))
    return names.get(number)


def _id(name: str, text: str) -> str:
    """A UUID as rows have it. An empty text is left to the query, for which it may mean any."""
    if text and not is_uuid(text):
        raise InvalidArgument(Violation(name, "must be a UUID"))
    return text.lower()


def _decimal(name: str, text: str) -> str:
    """A number as PostgreSQL reads it, which would also read 1e3 and 0x10. An empty text is left to the query."""
    if not is_decimal(text):
        raise InvalidArgument(Violation(name, "must be a decimal number, such as -12.5"))
    return text


def _time(name: str, time: Timestamp) -> datetime:
    check_time(name, time)
    return time.ToDatetime(UTC)


def _duration(name: str, duration: Duration) -> timedelta:
    if abs(duration.seconds) > MAX_SECONDS:
        raise InvalidArgument(Violation(name, "is too long"))
    if abs(duration.nanos) > 999_999_999 or duration.seconds * duration.nanos < 0:
        raise InvalidArgument(Violation(name, "must have nanos below a second, of the sign of its seconds"))
    return timedelta(seconds=duration.seconds, microseconds=int(duration.nanos / 1000))


def _json(name: str, content: Struct | ListValue) -> str:
    if name not in LARGE and content.ByteSize() > MAX_STRUCT:
        raise InvalidArgument(Violation(name, "must have at most 64 KiB as JSON"))
    try:
        return json_of(content) if isinstance(content, Struct) else json_list_of(content)
    except ValueError as error:
        raise InvalidArgument(Violation(name, str(error))) from error


def _period(name: str, period: Period) -> asyncpg.Range:
    first, end = (_date(f"{name}.{field}", getattr(period, field)) for field in ("start_date", "end_date"))
    if first >= end:
        raise InvalidArgument(Violation(f"{name}.end_date", "must be later than start_date"))
    return asyncpg.Range(first, end)


def _date(name: str, text: str) -> date:
    if not text:
        raise InvalidArgument(Violation(name, "is required"))
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    # Python reads 20260131 and 2026-W05-6 as well.
    if day is None or day.isoformat() != text or day in (date.min, date.max):
        raise InvalidArgument(Violation(name, "must be a day, such as 2026-01-31"))
    return day


CONVERSIONS: Final[dict[str, Callable[[str, Any], object]]] = {
    "google.protobuf.Timestamp": _time,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Struct": _json,
    "google.protobuf.ListValue": _json,
    "ai_grpc.v1.Period": _period,
}
