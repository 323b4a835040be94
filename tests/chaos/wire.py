"""One connection through a proxy, and what may happen to its bytes."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from contextlib import suppress
from enum import StrEnum
from typing import Final, TypeAlias

from tests.chaos.muting import Muting

CHUNK: Final = 16 * 1024
LONGEST_DELAY: Final = 0.1
PIECE_SECONDS: Final = 0.05
REPLY_SECONDS: Final = 0.03
ABORT: Final = struct.pack("ii", 1, 0)

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter


class Mode(StrEnum):
    """What the proxy does with bytes and connections until it is told otherwise."""

    PASS = "pass"
    RESET = "reset"
    BLACKHOLE = "blackhole"
    HOLE_TO_SERVER = "hole to server"
    HOLE_TO_CLIENT = "hole to client"
    DELAY = "delay"
    TRICKLE = "trickle"
    CUT = "cut before the reply"
    HALF_OPEN_CLIENT = "half-open at the client"
    HALF_OPEN_SERVER = "half-open at the server"
    CAP = "bandwidth cap"
    MUTE = "no notifications"


HALF_OPEN: Final = (Mode.HALF_OPEN_CLIENT, Mode.HALF_OPEN_SERVER)
SILENT_TO_SERVER: Final = (Mode.BLACKHOLE, Mode.HOLE_TO_SERVER, *HALF_OPEN)
SILENT_TO_CLIENT: Final = (Mode.BLACKHOLE, Mode.HOLE_TO_CLIENT, *HALF_OPEN)
BYTES_PER_SECOND: Final = {Mode.TRICKLE: 200, Mode.CAP: 64 * 1024}


class Weather:
    """The mode of a proxy, which all its connections look at."""

    def __init__(self) -> None:
        self.mode = Mode.PASS
        self.cut_after = 0
        self._changed = asyncio.Event()

    def turn(self, mode: Mode, cut_after: int) -> None:
        """From now on, and for who waits for a change."""
        self.mode, self.cut_after = mode, cut_after
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self) -> None:
        """Waits for the next turn."""
        await self._changed.wait()

    def cuts(self, size: int) -> bool:
        """Whether the connection that has just passed so much on to the server is cut; the next one later."""
        if self.mode is not Mode.CUT:
            return False
        self.cut_after -= size
        if self.cut_after >= 0:
            return False
        self.cut_after = random.randint(1, 5_000)
        return True


class Wire:
    """A connection from a client, and the one to the server that belongs to it."""

    def __init__(self, weather: Weather, client: tuple[Reader, Writer], server: tuple[Reader, Writer]) -> None:
        self._weather, self._client, self._server = weather, client, server
        self._cut = False

    async def run(self) -> None:
        """Passes bytes on in both directions until one side ends."""
        ways = [asyncio.create_task(self._to_server()), asyncio.create_task(self._to_client())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            while self._weather.mode in HALF_OPEN:
                await self._weather.change()
        finally:
            for way in ways:
                way.cancel()
            try:
                await asyncio.wait(ways)
            finally:
                # Also if it is cancelled here: the proxy closes.
                for _, writer in (self._client, self._server):
                    # What one side said last still reaches the other, unless the connection is cut.
                    abort(writer) if self._cut else writer.close()

    def reset(self, *, client: bool, server: bool) -> None:
        """Breaks the connection on one side, or on both."""
        for side, chosen in ((self._client, client), (self._server, server)):
            if chosen:
                abort(side[1])

    async def _to_server(self) -> None:
        with suppress(OSError):
            while data := await self._client[0].read(CHUNK):
                while self._weather.mode in SILENT_TO_SERVER:
                    await self._weather.change()
                self._cut = self._weather.cuts(len(data))
                await self._write(self._server[1], data)
                if self._cut:
                    await asyncio.sleep(REPLY_SECONDS)
                    return

    async def _to_client(self) -> None:
        muting = Muting()
        with suppress(OSError):
            while data := await self._server[0].read(CHUNK):
                while self._weather.mode in SILENT_TO_CLIENT:
                    await self._weather.change()
                data = muting.through(data, mute=self._weather.mode is Mode.MUTE)
                if not self._cut:
                    await self._write(self._client[1], data)

    async def _write(self, writer: Writer, data: bytes) -> None:
        if self._weather.mode is Mode.DELAY:
            await asyncio.sleep(random.uniform(0, LONGEST_DELAY))
        while data and (rate := BYTES_PER_SECOND.get(self._weather.mode)):
            size = max(1, int(rate * PIECE_SECONDS))
            writer.write(data[:size])
            data = data[size:]
            await writer.drain()
            await asyncio.sleep(PIECE_SECONDS)
        writer.write(data)
        await writer.drain()


def abort(writer: Writer) -> None:
    """Closes with RST, not FIN, unless it is being closed already."""
    connection = writer.get_extra_info("socket")
    if connection is None or writer.is_closing():
        return
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    writer.transport.abort()
