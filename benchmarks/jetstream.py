"""NATS JetStream with a file store, as it comes: it acknowledges what it wrote, and fsyncs every two minutes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig

from benchmarks.processes import running
from tests.cluster import free_port

STREAM = "signals"


class JetStream:
    """The asynchronous publishing of the client: a future for each message."""

    def __init__(self, context: JetStreamContext) -> None:
        self._context = context

    async def publish(self, payload: bytes) -> object:
        """Publishes and waits for the acknowledgement."""
        return await (await self._context.publish_async(STREAM, payload))

    async def stored(self) -> int:
        """How many messages the stream holds."""
        return (await self._context.stream_info(STREAM)).state.messages


@asynccontextmanager
async def jetstream(folder: Path) -> AsyncIterator[JetStream]:
    """A NATS server of its own with one stream."""
    port = free_port()
    command = ["nats-server", "--addr", "127.0.0.1", "--port", str(port), "--jetstream", "--store_dir", str(folder)]
    async with running(command, port, folder / "log"):
        connection = await nats.connect(f"nats://127.0.0.1:{port}")
        try:
            context = connection.jetstream()
            await context.add_stream(StreamConfig(STREAM, subjects=[STREAM], storage=StorageType.FILE))
            yield JetStream(context)
        finally:
            await connection.close()
