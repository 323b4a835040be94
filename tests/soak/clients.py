"""A process with many subscribers. It says what they have, in lines of JSON, until its input tells it the end."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any, Final

import uvloop

from tests.soak.latencies import Latencies
from tests.soak.subscriber import Subscriber

REPORT_SECONDS: Final = 0.5


async def main(numbers: Sequence[int], targets: Sequence[str], model_ids: Sequence[str]) -> None:
    """Runs the subscribers until all are past the end, or one has a fault."""
    latencies = Latencies()
    subscribers = [Subscriber(number, targets, model_ids, latencies) for number in numbers]
    end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(_listen(end))
        reporting = tasks.create_task(_report(subscribers, latencies))
        async with asyncio.TaskGroup() as group:
            for subscriber in subscribers:
                group.create_task(subscriber.run(end))
        listening.cancel()
        reporting.cancel()
    _say(totals=[[each.number, each.count, each.sum, each.reconnects, each.fault] for each in subscribers])


async def _listen(end: asyncio.Future[int]) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    line = await reader.readline()
    if not line:
        raise RuntimeError("nobody is there any more")
    end.set_result(int(line))


async def _report(subscribers: Sequence[Subscriber], latencies: Latencies) -> None:
    while True:
        _say(
            received=sum(each.count for each in subscribers),
            lowest=min((each.position for each in subscribers if each.habit == "steady"), default=0),
            faults=[f"subscriber {each.number}: {each.fault}" for each in subscribers if each.fault],
            seconds=latencies.take(),
        )
        await asyncio.sleep(REPORT_SECONDS)


def _say(**words: Any) -> None:
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    uvloop.run(main(**json.loads(sys.argv[1])))
