"""The log on stderr, and the access log, whose lines are written together: a record and a system call for each would
cost a third of a call."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from functools import lru_cache

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
    """Calls that have ended; each has its own time, and is written at most DELAY seconds later."""

    def __init__(self, worker: int | None = None) -> None:
        self._source = f"INFO {_of(worker)}ai_grpc.access"
        self._together = sys.maxsize if worker is None else UNMIXED
        self._calls: list[tuple[float, str, str, float, str, str]] = []

    def add(self, method: str, status: str, seconds: float, peer: str, request_id: str) -> None:
        """Takes a call; from the event loop only."""
        self._calls.append((time.time(), method, status, seconds, peer, request_id))
        if len(self._calls) == 1:
            asyncio.get_running_loop().call_later(DELAY, self.flush)

    def flush(self) -> None:
        """Writes the calls that wait."""
        calls, self._calls = self._calls, []
        for first in range(0, len(calls), self._together):
            logger.info("\n".join([self._line(*call) for call in calls[first : first + self._together]]))

    def _line(self, end: float, method: str, status: str, seconds: float, peer: str, request_id: str) -> str:
        time_and_source = f"{_stamp(int(end))},{int(end % 1 * 1000):03d} {self._source}"
        return f"{time_and_source}: {method} {status} {seconds * 1000:.1f}ms {peer} {request_id}"


@lru_cache(maxsize=2)
def _stamp(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))


def _of(worker: int | None) -> str:
    return "" if worker is None else f"worker {worker} "
