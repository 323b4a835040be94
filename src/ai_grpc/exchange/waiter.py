"""Waiting for what may come soon or not at all, again and again, at little cost."""

from __future__ import annotations

import asyncio


class Waiter:
    """An event to wait for up to a deadline. Its timer stays when it is woken: most deadlines are moved, not met."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = False
        self._future: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def clear(self) -> None:
        """From here on it counts when it is woken."""
        self._woken = False

    def wake(self) -> None:
        """Ends the wait, or the next one."""
        self._woken = True
        self._settle()

    async def until(self, deadline: float) -> None:
        """Returns when it was woken since it was cleared, at the deadline, and now and then before."""
        if self._woken:
            return
        if self._timer is None or self._timer.when() > deadline:
            self.close()
            self._timer = self._loop.call_at(deadline, self._ring)
        self._future = self._loop.create_future()
        await self._future

    def close(self) -> None:
        """Stops the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._settle()

    def _settle(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)
