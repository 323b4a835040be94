"""A worker as its supervisor sees it: a process that is started afresh, told its settings, heard, and ended."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from pydantic import SecretStr

from ai_grpc.settings import Settings

# What a worker says when it serves; anything else that it says is why it ends.
SERVING: Final = "serving"

# Seconds, beside those that the database and the calls under way may take.
START_MARGIN: Final = 30.0
STOP_MARGIN: Final = 4.0

logger = logging.getLogger(__name__)


class WorkerFailed(Exception):
    """A worker cannot be kept alive, or did not end in good order; the text says which, and why."""


class Worker:
    """One process that serves. Its number is that of its place: who replaces it has the same."""

    def __init__(self, number: int, settings: Settings, process: Process) -> None:
        self._number, self._settings, self._process = number, settings, process

    async def complaint(self, on_serving: Callable[[], None]) -> str:
        """Waits until it is dead; returns why, in its own words, empty if it left none."""
        seconds = self._settings.database_wait + START_MARGIN
        try:
            async with asyncio.timeout(seconds):
                line = await self._line()
        except TimeoutError:
            line = f"it did not serve within {seconds:g} s"
        if line == SERVING:
            on_serving()
            line = await self._line()
        if line:
            await self._kill()
        await self._process.wait()
        return line

    async def end(self) -> None:
        """Lets it drain, if it lives. Raises WorkerFailed when it does not."""
        if self._process.returncode is not None:
            return
        seconds = self._settings.drain_grace + STOP_MARGIN
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(seconds):
                status = await self._process.wait()
        except TimeoutError:
            await self._kill()
            raise WorkerFailed(f"worker {self._number} was killed: it did not end within {seconds:g} s") from None
        logger.info("worker %d ended: %s", self._number, self.status)
        # One that has not come so far as to hear the signal has nothing to drain.
        if status not in (0, -signal.SIGTERM):
            raise WorkerFailed(f"worker {self._number} did not drain: {self.status}")

    @property
    def status(self) -> str:
        """How the process ended."""
        code = self._process.returncode
        assert code is not None
        return f"status {code}" if code >= 0 else signal.Signals(-code).name

    async def _line(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()

    async def _kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def worker(number: int, settings: Settings) -> AsyncIterator[Worker]:
    """A worker that ends with this block, or with this process."""
    process = await asyncio.create_subprocess_exec(
        # Without the working directory in its path, where `ai-grpc` does not have it either.
        *(sys.executable, "-P", "-m", "ai_grpc.worker", str(number)),
        stdin=PIPE,
        stdout=PIPE,
        # A Ctrl-C in the terminal reaches this process alone, which lets them drain.
        start_new_session=True,
    )
    logger.info("worker %d started, process %d", number, process.pid)
    started = Worker(number, settings, process)
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(settings.model_dump(), default=_plain).encode() + b"\n")
        yield started
    finally:
        await started.end()


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
