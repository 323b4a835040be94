"""Sending bytes to a method of any shape, and the bytes of its answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

import grpc
from grpc.aio import EOF

from tests.fuzz.inputs import Input

CALL_SECONDS: Final = 45
# How much of a stream that does not end by itself is read.
MOST_RESPONSES: Final = 4
PATIENCE: Final = 0.02
RETRIES: Final = 3
BROKEN_WRITE: Final = (grpc.StatusCode.INTERNAL, "Internal error from Core")


# Without serializers, bytes are sent as they are; the stubs of grpc do not say so.
async def receive(channel: Any, sent: Input, responses: list[bytes]) -> None:
    """Makes the call and appends the responses. Raises AioRpcError; takes CALL_SECONDS at most."""
    path, messages = sent.method.path, sent.messages
    match sent.method.client_streaming, sent.method.server_streaming:
        case False, False:
            responses.append(await channel.unary_unary(path)(messages[0], timeout=CALL_SECONDS))
        case True, False:
            responses.append(await _upload(channel.stream_unary(path), sent))
        case False, True:
            await _read_some(channel.unary_stream(path)(messages[0], timeout=CALL_SECONDS), responses)
        case _:
            await _exchange(channel.stream_stream(path), sent, responses)


async def _read_some(call: Any, responses: list[bytes]) -> None:
    try:
        response = await call.read()
        with suppress(TimeoutError):
            while response is not EOF and len(responses) < MOST_RESPONSES:
                responses.append(response)
                async with asyncio.timeout(PATIENCE):
                    response = await call.read()
    finally:
        call.cancel()


async def _upload(method: Any, sent: Input) -> bytes:
    """All messages at once. When the server ends the stream in the midst of a write, the client loses its status: then
    again, without those that follow one that is too large for gRPC itself."""
    messages = sent.messages
    for _ in range(RETRIES):
        try:
            return bytes(await method(iter(messages), timeout=CALL_SECONDS))
        except grpc.aio.AioRpcError as error:
            if (error.code(), error.details()) != BROKEN_WRITE:
                raise
        if sent.too_large is not None:
            messages = sent.messages[: sent.too_large + 1]
    return bytes(await method(iter(messages), timeout=CALL_SECONDS))


async def _exchange(method: Any, sent: Input, responses: list[bytes]) -> None:
    """All messages at once. When the server ends the stream in the midst of a write, the client loses its status: then
    once more, one after another."""
    try:
        await _read_all(method(iter(sent.messages), timeout=CALL_SECONDS), responses)
    except (grpc.aio.AioRpcError, grpc.aio.InternalError) as error:
        if isinstance(error, grpc.aio.AioRpcError) and (error.code(), error.details()) != BROKEN_WRITE:
            raise
        responses.clear()
        call = method(timeout=CALL_SECONDS)
        for message in sent.messages:
            await call.write(message)
            if (response := await call.read()) is EOF:
                return
            responses.append(response)
        await call.done_writing()
        await _read_all(call, responses)


async def _read_all(call: Any, responses: list[bytes]) -> None:
    try:
        while (response := await call.read()) is not EOF:
            responses.append(response)
    finally:
        call.cancel()
