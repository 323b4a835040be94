"""Messages that are well formed and meant badly, made from their descriptors alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date
from hashlib import sha256
from typing import Any, Final, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.fuzz import words
from tests.fuzz.words import World

# What a client leaves alone unless it means harm.
LEFT_ALONE: Final = (
    "ai_grpc.v1.Signal.state",
    "ai_grpc.v1.Individual.generation",
    "individual_rank",
    "create_time",
    "resolved",
    "resolve_time",
    "resolution_note",
    "page_token",
)
# What says nothing unless one of its fields is set.
VALUE: Final = "google.protobuf.Value"
OURS: Final = "ai_grpc."
# What the names of our fields end with that hold decimal numbers as text.
DECIMALS: Final = ("price", "price_target", "stop_loss", "take_profit", "_value", "pnl", "pnl_if_executed")
DEEPEST: Final = 30
# How many values a repeated field gets that has any, and how many of one value if harm is meant.
COUNTS: Final = (1, 1, 1, 2, 3)
LIMITS: Final = (0, 2, 3, 10, 100, 1000, 1001)
MOST_REPEATED: Final = 1000

M = TypeVar("M", bound=Message)


class Author:
    """Writes messages: each field is there with a probability of `presence`, and each value bad with one of `spite`."""

    def __init__(self, rng: random.Random, world: World, *, presence: float, spite: float) -> None:
        self._rng, self._world, self._presence, self._spite = rng, world, presence, spite
        self._seconds = rng.choice(words.SECONDS)
        self._likely: dict[str, Callable[[], Any]] = {
            "signal_id": lambda: self._one_of(self._fresh, world.signal_ids, 0.4),
            "model_id": lambda: self._one_of(self._fresh, world.model_ids, 0.1),
            "model_ids": lambda: rng.choice(world.model_ids),
            "signal_ids": lambda: rng.choice(world.signal_ids),
            "model_name": lambda: self._one_of(lambda: f"model-{self._fresh()}", world.model_names, 0.2),
            "alias": lambda: self._one_of(lambda: f"a-{self._fresh()}", words.ALIASES, 0.2),
            "description": lambda: f"about {self._fresh()}",
            "epoch": lambda: world.epoch,
            "file_containing_symbol": lambda: rng.choice(world.services),
            "nanos": lambda: rng.randrange(10**9),
            # Of a piece of a series.
            "offset": lambda: rng.choice((0, 0, 0, 1)),
            "page_size": lambda: rng.randrange(100),
            "page_token": lambda: words.a_token(rng),
            "paths": lambda: rng.choice(words.PATHS),
            "seconds": self._later,
            "google.protobuf.Duration.seconds": lambda: rng.randrange(1, 600),
            "sequence": lambda: rng.randrange(100),
            "service": lambda: rng.choice(world.services),
            "subscriber_id": lambda: "fuzz",
            "symbol": lambda: rng.choice(words.SYMBOLS),
            "symbols": lambda: rng.choice(words.SYMBOLS),
            "version": lambda: str(rng.randrange(10)),
            **dict.fromkeys(("confidence", "min_confidence"), lambda: round(rng.random(), 4)),
        }

    def write(self, kind: type[M]) -> M:
        """A message of this kind."""
        message = kind()
        self._fill(message, 0)
        return message

    def _fill(self, message: Message, depth: int) -> None:
        rng = self._rng
        descriptor: Any = message.DESCRIPTOR
        chosen = {oneof.name: rng.choice(oneof.fields).name for oneof in descriptor.oneofs}
        for field in descriptor.fields:
            if field.containing_oneof is not None and chosen[field.containing_oneof.name] != field.name:
                continue
            left_alone = field.full_name in LEFT_ALONE or field.name in LEFT_ALONE
            presence = 1 - self._spite if descriptor.full_name == VALUE else self._presence
            if rng.random() < (self._spite if left_alone else presence):
                self._set(message, field, depth)

    def _set(self, message: Any, field: FieldDescriptor, depth: int) -> None:
        if field.message_type is None:
            if not field.is_repeated:
                setattr(message, field.name, self._value(field))
                return
            values = [self._value(field) for _ in range(self._rng.choice(COUNTS))]
            if self._is_bad() and len(str(values[:1])) < MOST_REPEATED:
                values = values[:1] * self._rng.choice(LIMITS)
            getattr(message, field.name).extend(values)
        elif depth < DEEPEST:
            self._set_message(getattr(message, field.name), field, depth + 1)

    def _set_message(self, member: Any, field: FieldDescriptor, depth: int) -> None:
        if not field.is_repeated:
            member.SetInParent()
            self._fill(member, depth)
            return
        assert field.message_type is not None
        key, value = (field.message_type.fields_by_name.get(name) for name in ("key", "value"))
        for _ in range(self._rng.choice(COUNTS)):
            if not field.message_type.GetOptions().map_entry:
                self._fill(member.add(), depth)
            elif key is not None and value is not None and value.message_type is not None:
                self._fill(member[self._value(key)], depth)
            elif key is not None and value is not None:
                member[self._value(key)] = self._value(value)
        if self._is_bad() and hasattr(member, "add") and member and member[0].ByteSize() < MOST_REPEATED:
            member.extend([member[0]] * self._rng.choice(LIMITS))

    def _value(self, field: FieldDescriptor) -> Any:
        rng = self._rng
        if not self._is_bad():
            likely = self._likely.get(field.full_name) or self._likely.get(field.name)
            return likely() if likely else self._plain(field)
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_BOOL:
                return rng.random() < 0.5
            case FieldDescriptor.CPPTYPE_ENUM:
                return rng.choice((0, -1, 5, 99, 2**31 - 1, -(2**31)))
            case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
                return rng.choice(words.DOUBLES)
            case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
                return rng.randbytes(rng.choice((0, 1, 100)))
            case FieldDescriptor.CPPTYPE_STRING:
                return words.a_token(rng) if field.name == "page_token" else words.a_text(rng)
        return words.an_integer(rng, field.cpp_type)

    def _plain(self, field: FieldDescriptor) -> Any:
        rng = self._rng
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_BOOL:
                return rng.random() < 0.7
            case FieldDescriptor.CPPTYPE_ENUM:
                assert field.enum_type is not None
                return rng.choice(field.enum_type.values[1:] or field.enum_type.values).number
            case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
                return rng.choice((0, 1, rng.random(), rng.randrange(10**6)))
            case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
                return b"bytes"
            case FieldDescriptor.CPPTYPE_STRING:
                return self._text(field)
        return rng.randrange(100)

    def _text(self, field: FieldDescriptor) -> str:
        """As the name of the field promises."""
        if field.name.endswith(("_id", "_ids")):
            return self._one_of(self._fresh, self._world.ids(field.name.removesuffix("s")), 0.2)
        if field.name.endswith("_hash"):
            return sha256(self._fresh().encode()).hexdigest()
        if field.name.endswith("_date"):
            return str(date.fromtimestamp(self._later()))
        if field.full_name.startswith(OURS) and field.name.endswith(DECIMALS):
            return self._price()
        return self._rng.choice(("a", "word", self._fresh()))

    def _one_of(self, fresh: Callable[[], str], known: tuple[str, ...], share: float = 0.5) -> str:
        return fresh() if self._rng.random() < share else self._rng.choice(known)

    def _fresh(self) -> str:
        return words.a_uuid(self._rng)

    def _price(self) -> str:
        return f"{self._rng.randrange(1, 10**6)}.{self._rng.randrange(10**6):06d}"

    def _later(self) -> int:
        """Of several times in a message, each is after the one before."""
        self._seconds += self._rng.randrange(10**6)
        return self._seconds

    def _is_bad(self) -> bool:
        return self._rng.random() < self._spite
