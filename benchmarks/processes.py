"""Processes beside the run: servers of peers, and clients that shall not share its event loop."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

END_SECONDS = 10
LONGEST_LINE = 2**24


@asynccontextmanager
async def running(command: Sequence[str | Path], port: int, log: Path) -> AsyncIterator[None]:
    """A server process from when it accepts connections until it is ended."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=output, stderr=output)
    try:
        while not await _accepts(port):
            if process.returncode is not None:
                raise RuntimeError(f"{command[0]} ended with status {process.returncode}")
            await asyncio.sleep(0.02)
        yield
    finally:
        await _end(process)


class Client:
    """A process of `python -m <module>` that answers each line with one line of JSON."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def answer(self, seconds: float) -> Any:
        """Its next line. Raises TimeoutError, or RuntimeError if it is gone."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), seconds)
        if not line:
            raise RuntimeError(f"a client ended with status {await self._process.wait()}")
        return json.loads(line)

    def tell(self, line: object) -> None:
        """Sends it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")


@asynccontextmanager
async def client(module: str, *arguments: object) -> AsyncIterator[Client]:
    """Such a process, gone afterwards. What it says on stderr is seen."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=LONGEST_LINE)
    try:
        yield Client(process)
    finally:
        await _end(process)


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), END_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
