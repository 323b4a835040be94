"""A server that is told to stop, and what its streams hear of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from tests.chaos.history import Drain
from tests.chaos.subscribers import Subscriber
from tests.server import ServerProcess

NEVER: Final = -1
HEARD_SECONDS: Final = 5.0
LOOK_AGAIN: Final = 0.02


async def drain(server: ServerProcess, name: str, subscribers: Iterable[Subscriber], bound: float) -> Drain:
    """SIGTERM, and what became of it and of the streams that these have from it."""
    streams = [
        one.stream
        for one in subscribers
        if one.stream is not None
        and one.stream.replica == server.target
        and one.stream.messages
        and not one.stream.ended
    ]
    started = time.monotonic()
    try:
        status = await server.terminate()
    except TimeoutError:
        status = NEVER
        await server.kill()
    seconds = time.monotonic() - started
    # What the server has said may not be read yet when it is gone.
    while not all(stream.ended for stream in streams):
        if time.monotonic() - started > seconds + HEARD_SECONDS:
            break
        await asyncio.sleep(LOOK_AGAIN)
    closings = sum(stream.messages[-1].what == "closing" for stream in streams)
    return Drain(name, seconds, bound, status, len(streams), closings)
