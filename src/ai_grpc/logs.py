"""The log on stderr, and the access log, whose lines are written together: a record and a system call for each would
cost a third of a call."""

from __future__ import annotations

import asyncio
import logging
import sys
import time

DELAY = 0.05

# So many lines stay below 4096 bytes, up to which a pipe does not mix what several processes write.
UNMIXED = 14

logger = logging.getLogger("ai_grpc.access")


def configure(level: int, worker: int | None = None) -> None:
    """Sends everything from this level on to stderr; the lines carry the number of the worker."""
    logging.basicConfig(level=level, format=f"%(asctime)s %(levelname)s {_of(worker)}%(name)s: %(message)s", force=True)
    lines = logging.StreamHandler()
    lines.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers = [lines]
    logger.propagate = False


class AccessLog:
    """Lines of calls that have ended; each has its own time, and is written at most DELAY seconds later."""

    def __init__(self, worker: int | None = None) -> None:
        self._source = f"INFO {_of(worker)}ai_grpc.access"
        self._together = sys.maxsize if worker is None else UNMIXED
        self._lines: list[str] = []
        self._second, self._stamp = 0, ""

    def add(self, line: str) -> None:
        """Takes a line; from the event loop only."""
        self._lines.append(f"{self._time()} {self._source}: {line}")
        if len(self._lines) == 1:
            asyncio.get_running_loop().call_later(DELAY, self.flush)

    def flush(self) -> None:
        """Writes the lines that wait."""
        lines, self._lines = self._lines, []
        for first in range(0, len(lines), self._together):
            logger.info("\n".join(lines[first : first + self._together]))

    def _time(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return f"{self._stamp},{int(now % 1 * 1000):03d}"


def _of(worker: int | None) -> str:
    return "" if worker is None else f"worker {worker} "
