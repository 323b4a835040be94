"""Waiting for what may come soon or not at all, again and again, at little cost; and waking a thousand who do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# A thousand writes at once would fill the queues of gRPC, in which publishers wait too. And what is published while
# some are served is sent to the rest together.
SLICE: Final = 64
# Who takes longer is not waited for, in seconds.
PATIENCE: Final = 0.02


class Waiter:
    """An event to wait for up to a deadline. Its timer stays when it is woken: most deadlines are moved, not met."""

    def __init__(self, waiters: Waiters) -> None:
        self._waiters = waiters
        self._loop = asyncio.get_running_loop()
        self._woken = False
        self._future: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.slice = 0

    def clear(self) -> None:
        """From here on it counts when it is woken."""
        self._woken = False

    def wake(self) -> bool:
        """Ends the wait, or the next one; whether it waited."""
        self._woken = True
        return self._settle()

    async def until(self, deadline: float) -> None:
        """Returns when it was woken since it was cleared, at the deadline, and now and then before."""
        self._waiters.returned(self)
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

    def _settle(self) -> bool:
        if self._future is None or self._future.done():
            return False
        self._future.set_result(None)
        return True


class Waiters:
    """All who wait for the same, woken a slice at a time: the next when half of this one are back."""

    def __init__(self) -> None:
        self._all: set[Waiter] = set()
        self._due: list[Waiter] = []
        self._again = False
        self._slice = self._out = 0
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def waiter(self) -> Iterator[Waiter]:
        """One more, for as long as the block lasts."""
        waiter = Waiter(self)
        self._all.add(waiter)
        try:
            yield waiter
        finally:
            self._all.discard(waiter)
            waiter.close()
            self.returned(waiter)

    def wake(self) -> None:
        """Wakes everybody, in their turn."""
        self._again = True
        if self._timer is None:
            self._next()

    def returned(self, waiter: Waiter) -> None:
        """It has done what it was woken for."""
        if waiter.slice == self._slice and self._out:
            waiter.slice = 0
            self._out -= 1
            if self._out <= SLICE // 2:
                self._next()

    def _next(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._out = 0
        while not self._out and (self._due or self._again):
            if not self._due:
                self._due, self._again = list(self._all), False
            self._slice += 1
            for waiter in self._due[-SLICE:]:
                if waiter.wake():
                    waiter.slice = self._slice
                    self._out += 1
            del self._due[-SLICE:]
        if self._out:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._next)
