"""An event loop in a thread of its own, for those who have none."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_START_TIMEOUT: Final = 10.0


class Background:
    """The loop runs from the first `join` to the last `leave`.

    There is one for the process: grpc.aio is at odds with several loops.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()

    def join(self) -> None:
        """Starts the loop unless it runs."""
        with self._lock:
            self._users += 1
            if self._thread is not None:
                return
            started = threading.Event()
            # A daemon, so that a program that forgot to close can end all the same.
            self._thread = threading.Thread(target=self._work, args=[started], name="ai_grpc", daemon=True)
            self._thread.start()
            if not started.wait(_START_TIMEOUT):
                raise RuntimeError("the event loop does not start")

    def leave(self) -> None:
        """Stops the loop if this was the last one who needs it."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._end()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the loop and waits for it; it is cancelled if the wait is interrupted, as by Ctrl-C."""
        assert self._loop is not None
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Ends the loop and whatever still runs in it."""
        with self._lock:
            self._end()

    def _work(self, started: threading.Event) -> None:
        asyncio.run(self._main(started))

    async def _main(self, started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        started.set()
        await self._stop.wait()

    def _end(self) -> None:
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_START_TIMEOUT)
            self._thread = None


BACKGROUND: Final = Background()
atexit.register(BACKGROUND.stop)
