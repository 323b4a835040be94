"""The log on stderr, and the access log, whose lines are written together: a record and a system call for each would
cost a third of a call."""

from __future__ import annotations

import asyncio
import logging
import time

DELAY = 0.05
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

logger = logging.getLogger("ai_grpc.access")


def configure(level: int) -> None:
    """Sends everything from this level on to stderr."""
    logging.basicConfig(level=level, format=FORMAT, force=True)
    lines = logging.StreamHandler()
    lines.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers = [lines]
    logger.propagate = False


class AccessLog:
    """Lines of calls that have ended; each has its own time, and is written at most DELAY seconds later."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._second, self._stamp = 0, ""

    def add(self, line: str) -> None:
        """Takes a line; from the event loop only."""
        self._lines.append(f"{self._time()} INFO ai_grpc.access: {line}")
        if len(self._lines) == 1:
            asyncio.get_running_loop().call_later(DELAY, self.flush)

    def flush(self) -> None:
        """Writes the lines that wait."""
        lines, self._lines = self._lines, []
        if lines:
            logger.info("\n".join(lines))

    def _time(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return f"{self._stamp},{int(now % 1 * 1000):03d}"
