"""Subscriptions on a bare HTTP/2 connection: a thousand bots have a thousand machines, here they must cost little."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from ai_grpc.v1 import signals_pb2 as pb

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PATH = b"/ai_grpc.v1.SignalService/SubscribeSignals"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7, 0x8
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
INITIAL_WINDOW_SIZE = 0x4
LARGEST_WINDOW = 2**31 - 1
FIRST_WINDOW = 65_535


class Subscriptions(asyncio.Protocol):
    """Some streams on one connection, with windows that a measurement does not fill.

    Each of `listeners` hears the messages of a stream; `on_end` hears that one ended, which none does by itself.
    """

    def __init__(
        self,
        request: pb.SubscribeSignalsRequest,
        listeners: Sequence[Callable[[bytes], None]],
        on_end: Callable[[str], None],
    ) -> None:
        self._request, self._on_end = request.SerializeToString(), on_end
        self._listeners = {2 * number + 1: listener for number, listener in enumerate(listeners)}
        self._bodies = dict.fromkeys(self._listeners, b"")
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Opens the streams."""
        self._transport = cast(asyncio.Transport, transport)
        window = INITIAL_WINDOW_SIZE.to_bytes(2) + LARGEST_WINDOW.to_bytes(4)
        message = b"\0" + len(self._request).to_bytes(4) + self._request
        opening = PREFACE + _frame(SETTINGS, 0, 0, window)
        opening += _frame(WINDOW, 0, 0, (LARGEST_WINDOW - FIRST_WINDOW).to_bytes(4))
        for stream in self._listeners:
            opening += _frame(HEADERS, END_HEADERS, stream, _headers()) + _frame(DATA, END_STREAM, stream, message)
        self._transport.write(opening)

    def data_received(self, data: bytes) -> None:
        """Takes the frames that are complete."""
        received = self._received + data if self._received else data
        start, size = 0, len(received)
        while size - start >= 9:
            end = start + 9 + int.from_bytes(received[start : start + 3])
            if end > size:
                break
            stream = int.from_bytes(received[start + 5 : start + 9])
            self._take(received[start + 3], received[start + 4], stream, received[start + 9 : end])
            start = end
        self._received = received[start:]

    def connection_lost(self, error: Exception | None) -> None:
        """The server hung up."""
        self._on_end(f"connection lost: {error}")

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            body = self._bodies[stream] + payload
            while len(body) >= 5 and len(body) >= (end := 5 + int.from_bytes(body[1:5])):
                self._listeners[stream](body[5:end])
                body = body[end:]
            self._bodies[stream] = body
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self._transport.write(_frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind in (RESET, GOAWAY) or (kind == HEADERS and flags & END_STREAM):
            self._on_end(f"frame of type {kind}: {payload!r}")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def _headers() -> bytes:
    """POST over http, each name by its place in the static table of HPACK where it has one."""
    return b"".join(
        (
            b"\x83\x86",
            b"\x04" + _text(PATH),
            b"\x01" + _text(b"localhost"),
            b"\x0f\x10" + _text(b"application/grpc"),
            b"\x00" + _text(b"te") + _text(b"trailers"),
        )
    )


def _text(value: bytes) -> bytes:
    assert len(value) < 127
    return bytes((len(value),)) + value
