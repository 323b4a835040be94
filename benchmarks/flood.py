"""A process of publishers: `python -m benchmarks.flood WAY ADDRESS MODEL_ID CALLERS`.

WAY says how a signal gets to the database, and ADDRESS where it or the service is; but for the service, each caller has
a connection of its own. For each line that it reads, it publishes for so many seconds, at most so many signals a second
unless that is 0, and says how many a second were acknowledged, and how many in all.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import uvloop

from ai_grpc.client import SignalPublisher
from benchmarks.homemade import INSERT, PUBLISH
from benchmarks.load import Call, a_signal, load, paced
from benchmarks.peers import publishing

SERVICE, NOTIFY, INSERTS = "service", "notify", "insert"


@asynccontextmanager
async def opened(way: str, address: str, model_id: str, callers: int) -> AsyncIterator[Call]:
    """A call that publishes one signal."""
    if way == SERVICE:
        async with SignalPublisher(address) as sdk:
            yield lambda: sdk.publish(a_signal(model_id))
        return
    async with asyncpg.create_pool(address, min_size=callers, max_size=callers) as pool:
        statement = PUBLISH if way == NOTIFY else INSERT
        yield publishing(lambda payload: pool.execute(statement, payload.decode()))


async def main(way: str, address: str, model_id: str, callers: int) -> None:
    """Answers each line."""
    loop = asyncio.get_running_loop()
    async with opened(way, address, model_id, callers) as call:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            seconds, pace = json.loads(line)
            result = await load(paced(call, pace) if pace else call, callers, seconds)
            print(json.dumps([result.rate, result.calls]), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
