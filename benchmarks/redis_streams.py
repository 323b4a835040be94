"""Redis Streams: XADD to an append-only file, by a client that sends what waits in one pipeline."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from redis.asyncio import Redis

from benchmarks.processes import running
from tests.cluster import free_port

KEY = "signals"
MOST_PIPELINES = 2


class RedisStreams:
    """Callers that wait at the same time share a pipeline; there are two at a time, as our publisher has messages."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: deque[tuple[bytes, asyncio.Future[object]]] = deque()
        self._pipelines: set[asyncio.Task[None]] = set()
        self._alone = False

    async def publish(self, payload: bytes) -> object:
        """XADD."""
        if not self._pipelines and not self._alone:
            self._alone = True
            try:
                return await self._redis.xadd(KEY, {"signal": payload})
            finally:
                self._alone = False
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._waiting.append((payload, answer))
        if len(self._pipelines) < MOST_PIPELINES:
            pipeline = asyncio.create_task(self._send())
            self._pipelines.add(pipeline)
            pipeline.add_done_callback(self._pipelines.discard)
        return await answer

    async def stored(self) -> int:
        """XLEN."""
        return int(await self._redis.xlen(KEY))

    async def _send(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, deque()
            pipeline = self._redis.pipeline(transaction=False)
            for payload, _ in batch:
                pipeline.xadd(KEY, {"signal": payload})
            try:
                entry_ids = await pipeline.execute()
            except Exception as error:  # whatever it is, those who wait are told, and it ends the run
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
            else:
                for (_, answer), entry_id in zip(batch, entry_ids, strict=True):
                    if not answer.done():
                        answer.set_result(entry_id)


@asynccontextmanager
async def redis_streams(folder: Path, fsync: str) -> AsyncIterator[RedisStreams]:
    """A Redis server of its own that answers after the fsync (`always`), or writes once a second (`everysec`)."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "yes", "--appendfsync", fsync]
    async with running(command, port, folder / "log"), Redis(port=port) as redis:
        yield RedisStreams(redis)
