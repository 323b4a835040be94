"""Locks on files, between processes."""

from __future__ import annotations

import fcntl
import time
from typing import IO, Final

PAUSE: Final = 0.05


def lock(file: IO[str], seconds: float = 0) -> bool:
    """Whether nobody else has the file locked, or not for longer than that: then this process has, until it closes it.

    It blocks: for what a process does before its database is there, or after, when nothing else runs in it.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(PAUSE)  # blocks: see above
        else:
            return True
