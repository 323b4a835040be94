"""The subscribers, in processes of their own, as the test sees them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from tests.soak.filters import KINDS, Total

PROCESSES: Final = 2
# A line of the totals grows with the subscribers.
LONGEST_LINE: Final = 1024 * 1024


class Crowd:
    """All subscribers. What they said last stands here."""

    def __init__(self, processes: Sequence[asyncio.subprocess.Process], count: int) -> None:
        self._processes, self._count = processes, count
        self._latest: list[dict[str, Any]] = [{} for _ in processes]
        self._said = asyncio.Event()
        self._seconds: list[float] = []
        self._totals: list[list[Any]] = []

    async def listen(self) -> None:
        """Hears all that the processes say, until they end."""
        async with asyncio.TaskGroup() as group:
            for place in range(len(self._processes)):
                group.create_task(self._hear(place))

    @property
    def received(self) -> int:
        """How many events all of them have."""
        return sum(latest.get("received", 0) for latest in self._latest)

    @property
    def lowest(self) -> int:
        """Every steady subscriber has everything up to here."""
        return min(int(latest.get("lowest", 0)) for latest in self._latest)

    @property
    def faults(self) -> list[str]:
        """What was wrong, by subscriber."""
        return [fault for latest in self._latest for fault in latest.get("faults", [])]

    @property
    def reconnects(self) -> int:
        """How often they changed the server; known in the end."""
        return sum(int(total[3]) for total in self._totals)

    async def news(self) -> None:
        """Returns when one of the processes said something."""
        self._said.clear()
        await self._said.wait()

    def take_seconds(self) -> list[float]:
        """From publication to receipt, some of those since it was asked last."""
        seconds, self._seconds = self._seconds, []
        return seconds

    def end(self, sequence: int) -> None:
        """Tells all where to stop."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{sequence}\n".encode())

    def incomplete(self, expected: Sequence[Total]) -> list[str]:
        """Who was not given exactly what was due, by the totals due to each filter."""
        wrong = [] if len(self._totals) == self._count else [f"only {len(self._totals)} subscribers came to the end"]
        for number, count, total, _, fault in self._totals:
            if fault or (count, total) != expected[number % KINDS]:
                due = expected[number % KINDS]
                wrong.append(f"subscriber {number}: {fault or f'{count} events of {due.events}'}")
        return wrong

    async def _hear(self, place: int) -> None:
        output = self._processes[place].stdout
        assert output is not None
        while line := await output.readline():
            said = json.loads(line)
            if "totals" in said:
                self._totals += said["totals"]
                return
            else:
                self._latest[place] = said
                self._said.set()
                self._seconds += said["seconds"]
        raise RuntimeError("a process of subscribers ended before its time")


@asynccontextmanager
async def crowd_of(count: int, targets: Sequence[str], model_ids: Sequence[str]) -> AsyncIterator[Crowd]:
    """So many subscribers, from now on."""
    processes: list[asyncio.subprocess.Process] = []
    try:
        for place in range(PROCESSES):
            order = {"numbers": list(range(place, count, PROCESSES)), "targets": targets, "model_ids": model_ids}
            processes.append(
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tests.soak.clients", json.dumps(order)),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    limit=LONGEST_LINE,
                )
            )
        yield Crowd(processes, count)
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()
