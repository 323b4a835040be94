"""Bytes that are almost a message."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from tests.fuzz.wire import DELIMITED, Field, join, split, varint

BAD_TEXT: Final = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\xe2\x82")
HUGE: Final = (2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, 5 * 1024 * 1024)
# A Struct that holds a Struct: its fields, their value, the struct in it.
STRUCT_IN_STRUCT: Final = (1, 2, 5)

Mutation = Callable[[bytes, random.Random], bytes]


def mutated(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """The message with one to three faults, on any level of it. `other` is a message to take pieces from."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = _deep(data, rng, rng.choice((*MUTATIONS, lambda piece, r: _splice(piece, r, other))))
    return data


def _deep(data: bytes, rng: random.Random, mutation: Mutation) -> bytes:
    """Half of the faults are inside of a field, whose length is put right."""
    fields = split(data)
    inner = [place for place, field in enumerate(fields or ()) if field.kind == DELIMITED]
    if not fields or not inner or rng.random() < 0.5:
        return mutation(data, rng)
    place = rng.choice(inner)
    fields[place] = fields[place]._replace(value=_deep(fields[place].value, rng, mutation))
    return join(fields)


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8)) if data else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randint(0, len(data))]


def _insert(data: bytes, rng: random.Random) -> bytes:
    place = rng.randint(0, len(data))
    return data[:place] + rng.randbytes(rng.choice((1, 2, 16))) + data[place:]


def _delete(data: bytes, rng: random.Random) -> bytes:
    place = rng.randint(0, len(data))
    return data[:place] + data[place + rng.choice((1, 2, 16)) :]


def _splice(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Fields of the other message among those of this one."""
    fields, others = split(data), split(other)
    if fields is None or not others:
        return data + other
    fields.insert(rng.randint(0, len(fields)), rng.choice(others))
    return join(fields)


def _repeat(data: bytes, rng: random.Random) -> bytes:
    fields = split(data)
    if not fields:
        return data * 2
    return data + rng.choice(fields).encode() * rng.choice((1, 2, 100))


def _wrong_length(data: bytes, rng: random.Random) -> bytes:
    return data + varint(rng.randint(1, 20) << 3 | DELIMITED) + varint(rng.choice(HUGE)) + rng.randbytes(3)


def _wrong_kind(data: bytes, rng: random.Random) -> bytes:
    fields = split(data)
    if not fields:
        return data
    place = rng.randrange(len(fields))
    fields[place] = fields[place]._replace(kind=rng.randrange(8))
    return join(fields)


def _unknown(data: bytes, rng: random.Random) -> bytes:
    number = rng.choice((0, 19, 99, 1000, 19_000, 2**29 - 1, 2**29))
    return data + Field(number, rng.randrange(6), rng.randbytes(rng.choice((0, 4, 8)))).encode()


def _nest(data: bytes, rng: random.Random) -> bytes:
    """The message within itself, again and again, as the first field, any field, or a Struct."""
    tags = rng.choice(((1,), (rng.randint(1, 20),), STRUCT_IN_STRUCT))
    nested = b""
    for level in range(rng.choice((30, 99, 101, 300, 1000))):
        nested = Field(tags[-1 - level % len(tags)], DELIMITED, nested).encode()
    return data + Field(rng.randint(1, 20), DELIMITED, nested).encode()


def _bad_text(data: bytes, rng: random.Random) -> bytes:
    return data + Field(rng.randint(1, 12), DELIMITED, rng.choice(BAD_TEXT)).encode()


def _long_varint(data: bytes, rng: random.Random) -> bytes:
    return data + varint(rng.randint(1, 20) << 3) + b"\xff" * rng.choice((9, 10, 11)) + b"\x01"


MUTATIONS: Final[tuple[Mutation, ...]] = (
    *(_flip, _truncate, _insert, _delete, _repeat, _wrong_length),
    *(_wrong_kind, _unknown, _nest, _bad_text, _long_varint),
)
