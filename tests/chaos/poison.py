"""Requests that no server may take."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final, TypeAlias

from grpc import aio

from ai_grpc.v1 import signals_pb2 as pb
from tests.signals import a_struct

METHOD: Final = "/ai_grpc.v1.SignalService/PublishSignals"
LARGEST: Final = 4 * 1024 * 1024
CALL_SECONDS: Final = 5

Request: TypeAlias = list[pb.Signal] | bytes


@dataclass(frozen=True, slots=True)
class Poison:
    """How to make the request from good signals, and the reason with which it must be refused."""

    make: Callable[[list[pb.Signal], Random], Request]
    refusal: str = "INVALID_FIELD"


def _changed(**changes: object) -> Callable[[list[pb.Signal], Random], Request]:
    """The last of some good signals is bad."""

    def make(signals: list[pb.Signal], _: Random) -> Request:
        for name, value in changes.items():
            setattr(signals[-1], name, value)
        return signals

    return make


def _too_many(signals: list[pb.Signal], _: Random) -> Request:
    many = []
    for _number in range(1001):
        signal = pb.Signal()
        signal.CopyFrom(signals[0])
        signal.signal_id = str(uuid.uuid4())
        many.append(signal)
    return many


def _long(length: int) -> Callable[[list[pb.Signal], Random], Request]:
    def make(signals: list[pb.Signal], _: Random) -> Request:
        signals[-1].metadata.CopyFrom(a_struct(note="x" * length))
        return signals

    return make


def _not_utf8(signals: list[pb.Signal], _: Random) -> Request:
    signals[-1].symbol = "SYMBOL"
    return pb.PublishSignalsRequest(signals=signals).SerializeToString().replace(b"SYMBOL", b"\xff\xfeMBOL")


def _cut_off(signals: list[pb.Signal], _: Random) -> Request:
    return pb.PublishSignalsRequest(signals=signals).SerializeToString()[:-3]


def _noise(_: list[pb.Signal], rng: Random) -> Request:
    return rng.randbytes(rng.randrange(1, 5000))


POISON: Final = {
    "confidence is no number": Poison(_changed(confidence=float("nan"))),
    "confidence is infinite": Poison(_changed(confidence=float("inf"))),
    "confidence is negative": Poison(_changed(confidence=-0.1)),
    "unknown type": Poison(_changed(signal_type=99)),
    "no symbol": Poison(_changed(symbol="")),
    "long symbol": Poison(_changed(symbol="X" * 10_000)),
    "no id": Poison(_changed(signal_id="")),
    "id is no id": Poison(_changed(signal_id="'; DROP TABLE ai_signals; --")),
    "unknown model": Poison(_changed(model_id="00000000-0000-4000-8000-000000000000"), "MODEL_NOT_FOUND"),
    "too many decimals": Poison(_changed(price_target="1.1234567")),
    "price is no number": Poison(_changed(stop_loss="NaN")),
    "no signals": Poison(lambda _, __: []),
    "too many signals": Poison(_too_many),
    "large metadata": Poison(_long(LARGEST - 64 * 1024)),
    "too large": Poison(_long(LARGEST), "RESOURCE_EXHAUSTED"),
    "not UTF-8": Poison(_not_utf8),
    "cut off": Poison(_cut_off),
    "noise": Poison(_noise),
}


async def send_raw(channel: aio.Channel, data: bytes) -> None:
    """Sends the bytes in the place of a request."""
    with suppress(aio.AioRpcError, aio.InternalError):
        await channel.unary_unary(METHOD, lambda message: message)(data, timeout=CALL_SECONDS)
