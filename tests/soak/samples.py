"""What can be seen of the servers: from outside, and the number of their tasks by the signal that `watched` answers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import asyncpg
import psutil

from ai_grpc.settings import MIB
from tests.faults.database import PIDS
from tests.server import ServerProcess
from tests.soak.crowd import Crowd
from tests.soak.latencies import percentile
from tests.soak.load import Load

ANSWER_SECONDS: Final = 20

# A name of what is measured, and its value.
Sample = dict[str, float]


async def take_sample(
    servers: Sequence[ServerProcess], files: Sequence[Path], admin: asyncpg.Connection, load: Load, crowd: Crowd
) -> Sample:
    """One look at everything."""
    for server, file in zip(servers, files, strict=True):
        file.unlink(missing_ok=True)
        os.kill(server.pid, signal.SIGUSR1)
    async with asyncio.timeout(ANSWER_SECONDS):
        await _until_there(files)
    sample: Sample = {}
    for number, (server, file) in enumerate(zip(servers, files, strict=True), 1):
        sample |= {f"server {number}: {name}": value for name, value in _of_process(server.pid, file).items()}
    purposes = Counter(name for name, _ in await admin.fetch(PIDS))
    sample |= {f"connections: {name}": count for name, count in purposes.items()}
    acks, events = load.latencies.take(), crowd.take_seconds()
    for percent in (50, 99):
        sample[f"publish to ack, p{percent} ms"] = percentile(acks, percent)
        sample[f"publish to event, p{percent} ms"] = percentile(events, percent)
    return sample


async def _until_there(files: Sequence[Path]) -> None:
    while True:
        if all(file.exists() for file in files):
            return
        await asyncio.sleep(0.02)


def _of_process(pid: int, file: Path) -> Sample:
    process = psutil.Process(pid)
    return {
        "memory MiB": process.memory_info().rss / MIB,
        "file descriptors": process.num_fds(),
        "threads": process.num_threads(),
        "tasks": float(file.read_text()),
    }
