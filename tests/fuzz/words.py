"""Values that have broken programs before, and values that make sense."""

from __future__ import annotations

import base64
import random
import uuid
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor import FieldDescriptor

TEXTS: Final = (
    *("", " ", "\0", "a\0b", "\n", "\t AAPL", "AAPL ", "\u00a0", "\u200b", "\ufeffAAPL", "\u202eLPAA", "\uffff"),
    *("\U0010ffff", "\ud7ff\ue000", "e\u0301" * 20, "👩‍👩‍👧‍👦", "ﷺ", "İ", "ß", "\x7f", "\x85", "\u2028"),
    *("NaN", "nan", "Infinity", "-inf", "1e5", "-0", "-0.0", "0.0000001", "1234567890", "1_000", "0x10", "٣.١٤", "1,5"),
    *("999999999.999999", "-999999999.999999", "1.", ".5", "+1", "1.0000000", "1" * 400, "null", "true", "{}", "[]"),
    *("'; DROP TABLE ai_signals; --", '"', "\\", "%s%n", "{0}", "$1", "../../etc/passwd", "\\u0000", "\\x00"),
    *("00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "not-a-uuid", "*", "a.b.c"),
    *("{00000000-0000-0000-0000-000000000001}", "urn:uuid:00000000-0000-0000-0000-000000000001", "0" * 32),
)
LENGTHS: Final = (31, 33, 50, 51, 100, 101, 10_001, 20_000, 70_000)
TOO_LONG: Final = 4 * 1024 * 1024 + 1
EDGES: Final = (0, 1, 999, 1_000, 1_001, 999_999_999, 10**9, 253_402_300_799, 253_402_300_800, 62_135_596_800)
POWERS: Final = (7, 8, 15, 16, 31, 32, 53, 63, 64)
INTEGERS: Final = tuple(
    sorted({sign * n for sign in (1, -1) for n in (*EDGES, *(2**p + d for p in POWERS for d in (-1, 0, 1)))})
)
DOUBLES: Final = (
    *(float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, -5e-324, 2.2e-308, 1.7976931348623157e308, -1e300),
    *(1.0000000000000002, 0.9999999999999999, 0.00005, 0.99995, -1e-17, 2.0**53 + 2, 1e16, 1e22),
)
SYMBOLS: Final = ("AAPL", "BTCUSDT", "EURUSD", "MSFT")
ALIASES: Final = ("challenger", "champion", "shadow")
# 1970, 2023, and a time that is yet to come for a while.
SECONDS: Final = (0, 1_700_000_000, 4_000_000_000)
PATHS: Final = ("description", "configuration", "performance_metrics")

LIMITS: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


@dataclass(frozen=True, slots=True)
class World:
    """What exists, or will soon: the ids that make a request more than a stab in the dark."""

    seed: int
    epoch: str
    model_ids: tuple[str, ...]
    model_names: tuple[str, ...]
    signal_ids: tuple[str, ...]
    services: tuple[str, ...] = ("",)

    def ids(self, name: str) -> tuple[str, ...]:
        """The few that a field of this name may have, so that requests speak of the same things."""
        rng = random.Random(f"{self.seed}/{name}")
        return tuple(a_uuid(rng) for _ in range(16))


def a_world(seed: int) -> World:
    """Always the same for a seed."""
    rng = random.Random(f"{seed}/world")
    return World(
        seed=seed,
        epoch=a_uuid(rng),
        model_ids=tuple(a_uuid(rng) for _ in range(32)),
        model_names=tuple(f"model-{number % 8}" for number in range(32)),
        signal_ids=tuple(a_uuid(rng) for _ in range(60)),
    )


def a_uuid(rng: random.Random) -> str:
    """One that nobody else has."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def a_text(rng: random.Random) -> str:
    """Text that nobody expects."""
    chance = rng.random()
    if chance < 0.0002:
        return "x" * TOO_LONG
    if chance < 0.8:
        return rng.choice(TEXTS)
    if chance < 0.9:
        return rng.choice(("x", "é", "\U0001f4c8", "\0")) * rng.choice(LENGTHS)
    return "".join(chr(_point(rng)) for _ in range(rng.randint(1, 40)))


def a_token(rng: random.Random) -> str:
    """A page token, or nearly one."""
    time = rng.choice(("2024-01-01T00:00:00+00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "now"))
    text = f"{time}{rng.choice((' ', ' ', '  ', ''))}{rng.choice((a_uuid(rng), a_uuid(rng), a_text(rng)))}"
    token = base64.urlsafe_b64encode(text.encode()).decode()
    return token if rng.random() < 0.5 else token[: rng.randint(0, len(token))] + rng.choice(TEXTS)


def an_integer(rng: random.Random, cpp_type: int) -> int:
    """At or near a limit of something."""
    low, high = LIMITS[cpp_type]
    return rng.choice([number for number in INTEGERS if low <= number <= high])


def _point(rng: random.Random) -> int:
    point = rng.randrange(rng.choice((0x80, 0x3000, 0x110000)))
    return point if not 0xD800 <= point < 0xE000 else 0xFFFD
