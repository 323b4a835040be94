"""What people would pick instead, each measured by its own client: a signal as JSON in, an acknowledgement out."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

from google.protobuf.json_format import MessageToDict

from benchmarks.homemade import homemade
from benchmarks.jetstream import jetstream
from benchmarks.load import Call, a_signal
from benchmarks.redis_streams import redis_streams
from benchmarks.stage import Stage

REDIS_ALWAYS = "Redis Streams, fsync always"
REDIS_EVERYSEC = "Redis Streams, fsync every second"
JETSTREAM = "NATS JetStream, file store"
HOMEMADE = "INSERT + NOTIFY"

# What an acknowledgement means.
PROMISES = {
    "ai_grpc": "on disk (PostgreSQL commit with fsync), checked, in one order, resumable, queryable by SQL",
    REDIS_ALWAYS: "on disk (append-only file with fsync before the answer), in one order, as bytes",
    REDIS_EVERYSEC: "in memory: up to a second of acknowledged signals is lost when the machine fails",
    JETSTREAM: "in the page cache: acknowledged signals of up to two minutes (sync_interval) are lost when the machine"
    " fails",
    HOMEMADE: "on disk (PostgreSQL commit with fsync), as JSON; who does not listen at the moment misses the"
    " notification, and 8,000 bytes are the most",
}


class Peer(Protocol):
    """A running peer and its client."""

    async def publish(self, payload: bytes) -> object:
        """Returns when the peer has acknowledged."""

    async def stored(self) -> int:
        """How many payloads the peer holds."""


Opener = Callable[[Stage, Path], AbstractAsyncContextManager[Peer]]

PEERS: dict[str, tuple[str | None, Opener]] = {
    REDIS_ALWAYS: ("redis-server", lambda stage, folder: redis_streams(folder, "always")),
    REDIS_EVERYSEC: ("redis-server", lambda stage, folder: redis_streams(folder, "everysec")),
    JETSTREAM: ("nats-server", lambda stage, folder: jetstream(folder)),
    HOMEMADE: (None, lambda stage, folder: homemade(stage.cluster.url())),
}


@asynccontextmanager
async def open_peers(stage: Stage) -> AsyncIterator[dict[str, Peer]]:
    """All peers whose server is installed, by name; says which are not."""
    async with AsyncExitStack() as stack:
        peers: dict[str, Peer] = {}
        for number, (name, (program, opener)) in enumerate(PEERS.items()):
            if program and not find(program):
                print(f"  {name}: skipped, {program} is not installed", flush=True)
                continue
            folder = stage.folder / f"peer-{number}"
            folder.mkdir(exist_ok=True)
            async with asyncio.timeout(20):
                peers[name] = await stack.enter_async_context(opener(stage, folder))
        yield peers


def find(program: str) -> str | None:
    """Where a server program is. Debian keeps some where only root looks."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


def publishing(publish: Callable[[bytes], Awaitable[object]]) -> Call:
    """A call that publishes a signal: made as an object before, serialized within, as ours is."""
    bodies = itertools.cycle([MessageToDict(a_signal("01890a5d-ac96-774b-bcce-b302099a8057")) for _ in range(1000)])

    async def call() -> object:
        return await publish(json.dumps(next(bodies)).encode())

    return call
