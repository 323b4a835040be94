"""A TCP proxy that misbehaves as networks do."""

from __future__ import annotations

import asyncio
from typing import Final, Self
from weakref import WeakSet

from tests.chaos.wire import CHUNK, HALF_OPEN, SILENT_TO_SERVER, Mode, Reader, Weather, Wire, Writer, abort
from tests.cluster import free_port

CLOSE_SECONDS: Final = 5


class Proxy:
    """Listens on a port of the loopback for a server on another; the mode changes under open connections too.

    Bytes that a hole holds back arrive after it, as TCP would send them again, unless `heal` resets the connections.
    """

    def __init__(self, server_port: int) -> None:
        self.port = free_port()
        self.target = f"127.0.0.1:{self.port}"
        self._server_port = server_port
        self._weather = Weather()
        self._wires: set[Wire] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._writers: WeakSet[Writer] = WeakSet()
        self._server: asyncio.Server | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=CHUNK)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self._closed = True
        for wire in self._running:
            wire.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=CLOSE_SECONDS)
        for writer in self._writers:
            # Also those that would close when their last bytes are taken.
            writer.transport.abort()

    def misbehave(self, mode: Mode, cut_after: int = 0) -> None:
        """From now on. CUT passes `cut_after` bytes more to the server, and no reply to the next."""
        self._weather.turn(mode, cut_after)
        if mode is Mode.RESET:
            self._reset(client=True, server=True)
        elif mode in HALF_OPEN:
            self._reset(client=mode is Mode.HALF_OPEN_SERVER, server=mode is Mode.HALF_OPEN_CLIENT)

    def heal(self, *, reset: bool = False) -> None:
        """Passes everything again. What was left half open is reset in any case."""
        if reset or self._weather.mode in HALF_OPEN:
            self._reset(client=True, server=True)
        self._weather.turn(Mode.PASS, 0)

    def _reset(self, *, client: bool, server: bool) -> None:
        for wire in self._wires:
            wire.reset(client=client, server=server)

    def _accept(self, reader: Reader, writer: Writer) -> None:
        if self._closed:
            # It came while the proxy was closing.
            abort(writer)
            return
        self._writers.add(writer)
        task = asyncio.create_task(self._connect(reader, writer))
        self._running.add(task)

        def end(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            abort(writer)
            if not task.cancelled() and (error := task.exception()) and not isinstance(error, OSError):
                raise error

        task.add_done_callback(end)

    async def _connect(self, reader: Reader, writer: Writer) -> None:
        if self._weather.mode is Mode.RESET:
            return
        while self._weather.mode in SILENT_TO_SERVER:
            await self._weather.change()
        server = await asyncio.open_connection("127.0.0.1", self._server_port, limit=CHUNK)
        self._writers.add(server[1])
        wire = Wire(self._weather, (reader, writer), server)
        self._wires.add(wire)
        try:
            await wire.run()
        finally:
            self._wires.discard(wire)
