"""The wire format of protocol buffers, as far as one must know it to break it."""

from __future__ import annotations

from typing import Final, NamedTuple

VARINT: Final = 0
FIXED64: Final = 1
DELIMITED: Final = 2
START_GROUP: Final = 3
END_GROUP: Final = 4
FIXED32: Final = 5
MOST_FIELDS: Final = 2000
_WIDTHS: Final = {FIXED64: 8, FIXED32: 4, START_GROUP: 0, END_GROUP: 0}


class Field(NamedTuple):
    """One field as it stands in the bytes; a delimited one without its length."""

    number: int
    kind: int
    value: bytes

    def encode(self) -> bytes:
        """As it was."""
        tag = varint(self.number << 3 | self.kind)
        return tag + varint(len(self.value)) + self.value if self.kind == DELIMITED else tag + self.value


def varint(value: int) -> bytes:
    """A number that is not negative, seven bits a byte."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def join(fields: list[Field]) -> bytes:
    """The bytes of a message."""
    return b"".join(field.encode() for field in fields)


def split(data: bytes) -> list[Field] | None:
    """The fields of a message; None if the bytes cannot be one, or are rather a long text than so many fields."""
    fields: list[Field] = []
    place = 0
    while place < len(data):
        tag, place = _read(data, place)
        kind = tag & 7
        if kind == VARINT:
            _, end = _read(data, place)
        elif kind == DELIMITED:
            length, place = _read(data, place)
            end = place + length
        else:
            end = place + _WIDTHS.get(kind, len(data) + 1)
        if place < 0 or not place <= end <= len(data) or len(fields) == MOST_FIELDS:
            return None
        fields.append(Field(tag >> 3, kind, data[place:end]))
        place = end
    return fields


def _read(data: bytes, place: int) -> tuple[int, int]:
    """A varint and where it ends; a place before the beginning if there is none."""
    value = 0
    for shift, byte in enumerate(data[place : place + 10] if place >= 0 else b""):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, place + shift + 1
    return 0, -1
