"""The proxy does to a connection what its mode says, and nothing once it is healed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.chaos.muting import Muting
from tests.chaos.proxy import Proxy
from tests.chaos.wire import Mode, Reader, Writer
from tests.cluster import free_port

SILENCE = 0.2
PATIENCE = 5


@asynccontextmanager
async def an_echo() -> AsyncIterator[tuple[Proxy, Reader, Writer]]:
    """A connection through a proxy to a server that gives back what it gets."""

    async def echo(reader: Reader, writer: Writer) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
        except OSError:
            return
        finally:
            writer.close()

    port = free_port()
    server = await asyncio.start_server(echo, "127.0.0.1", port)
    async with server, Proxy(port) as proxy, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        try:
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            yield proxy, reader, writer
        finally:
            writer.close()


@pytest.mark.parametrize("mode", [Mode.BLACKHOLE, Mode.HOLE_TO_SERVER, Mode.HOLE_TO_CLIENT])
async def test_what_a_hole_holds_back_arrives_after_it(mode: Mode) -> None:
    async with an_echo() as (proxy, reader, writer):
        proxy.misbehave(mode)
        writer.write(b"again")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), SILENCE)
        proxy.heal()
        assert await reader.readexactly(5) == b"again"


@pytest.mark.parametrize("mode", [Mode.RESET, Mode.HALF_OPEN_SERVER])
async def test_connection_is_reset(mode: Mode) -> None:
    async with an_echo() as (proxy, reader, _):
        proxy.misbehave(mode)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)


async def test_client_of_a_half_open_connection_hears_nothing_until_it_is_healed() -> None:
    async with an_echo() as (proxy, reader, writer):
        proxy.misbehave(Mode.HALF_OPEN_CLIENT)
        writer.write(b"again")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), SILENCE)
        proxy.heal()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)


async def test_connection_is_cut_before_the_reply_to_what_was_passed_on() -> None:
    async with an_echo() as (proxy, reader, writer):
        proxy.misbehave(Mode.CUT, 6)
        writer.write(b"first")
        assert await reader.readexactly(5) == b"first"
        writer.write(b"second")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_notifications_are_taken_out_however_the_bytes_are_cut(size: int) -> None:
    def message(kind: bytes, body: bytes) -> bytes:
        return kind + (4 + len(body)).to_bytes(4, "big") + body

    ready, row = message(b"Z", b"I"), message(b"D", b"row" * 10)
    answer = b"N" + ready + message(b"A", b"12345") + row + message(b"A", b"") + ready
    muting = Muting()
    pieces = [answer[place : place + size] for place in range(0, len(answer), size)]
    assert b"".join(muting.through(piece, mute=True) for piece in pieces) == b"N" + ready + row + ready
