"""A run: inputs by the thousands, many in flight, and what must hold during it and afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

import asyncpg
import grpc
import psutil

from ai_grpc.settings import MIB
from tests.faults.database import administrator
from tests.fuzz.calls import Outcome, outcome_of
from tests.fuzz.crash import culprit, dies, has_died
from tests.fuzz.findings import Finding, Result
from tests.fuzz.inputs import Input
from tests.fuzz.ledger import Ledger, Snapshot, Watch
from tests.fuzz.reading import unreadable
from tests.fuzz.shrink import shrunk
from tests.fuzz.target import Target

IN_FLIGHT: Final = 48
STRETCHES: Final = 20
SHORTEST: Final = 100
# How many of a stretch are sent while nothing else goes on.
ALONE: Final = 40
# The first quarter of a run fills caches and the ring. What the rest may add is fragmentation.
WARM_UP: Final = 4
MOST_GROWTH: Final = 32 * MIB
MOST_FINDINGS: Final = 10
CHANGES: Final = "it is refused and changes a table"
STAYS: Final = "it was refused and is in a table"


class Campaign:
    """Sends the inputs of a target and judges what comes of it."""

    def __init__(self, target: Target, admin: asyncpg.Connection) -> None:
        self._target = target
        self._ledger, self._watch = Ledger(admin), Watch(admin)
        self._process = psutil.Process(target.server.pid)
        self._unanswered: list[int] = []
        self._seen: set[tuple[str, str]] = set()
        self.result = Result()
        self._findings = self.result.findings

    async def run(self, count: int, progress: Callable[[int], None]) -> Result:
        """Sends so many inputs, in stretches; stops early when the server has died or enough is wrong."""
        await self._ledger.begin()
        numbers = iter(range(count))
        stretch = max(SHORTEST, -(-count // STRETCHES))
        while not self._is_over() and (part := list(islice(numbers, stretch))):
            await self._send_alone(part[:ALONE])
            await self._send_together(iter(part[ALONE:]))
            progress(len(part))
            if not has_died(self._target.server):
                self.result.memory.append(self._process.memory_info().rss)
        if has_died(self._target.server):
            self._findings.append(await culprit(self._target, self._unanswered))
        else:
            await self._judge_the_end()
        return self.result

    async def _send_together(self, numbers: Iterator[int]) -> None:
        async with asyncio.TaskGroup() as group:
            for place in range(IN_FLIGHT):
                group.create_task(self._caller(numbers, self._target.channels[place % len(self._target.channels)]))

    async def _caller(self, numbers: Iterator[int], channel: grpc.aio.Channel) -> None:
        while not self._is_over() and (number := next(numbers, None)) is not None:
            await self._send(number, self._target.inputs[number], channel)

    async def _send(self, number: int, sent: Input, channel: grpc.aio.Channel) -> Outcome:
        outcome = await outcome_of(channel, sent)
        self.result.calls[sent.method.path, outcome.status] += 1
        self._ledger.note(number, sent, outcome.refused)
        if outcome.unanswered and await dies(self._target.server):
            self._unanswered.append(number)
        elif outcome.fault and self._is_new(sent, outcome.status):
            await self._find(number, sent, outcome)
        return outcome

    async def _find(self, number: int, sent: Input, outcome: Outcome) -> None:
        """Keeps the fault, made small."""

        async def fails(candidate: Input) -> bool:
            again = await outcome_of(self._target.channels[0], candidate)
            return bool(again.fault) and again.status == outcome.status

        self._findings.append(Finding(outcome.fault, await shrunk(sent, fails), number))

    def _is_new(self, sent: Input, kind: str) -> bool:
        """Whether this is the first finding of its kind in the method."""
        is_new = (sent.method.path, kind) not in self._seen
        self._seen.add((sent.method.path, kind))
        return is_new

    def _is_over(self) -> bool:
        return has_died(self._target.server) or len(self._findings) >= MOST_FINDINGS

    async def _send_alone(self, numbers: Iterable[int]) -> None:
        """One after another, so that it is seen what each does to the tables. A refused one must leave them alone."""
        before: Snapshot | None = None
        for number in numbers:
            before = before or await self._watch.snapshot()
            sent = self._target.inputs[number]
            outcome = await self._send(number, sent, self._target.channels[0])
            if self._is_over():
                return
            if len(outcome.refused) < len(sent.messages):
                before = None
            elif await self._watch.has_changed(before):
                before = None
                if self._is_new(sent, CHANGES):
                    self._findings.append(Finding(CHANGES, sent, number))

    async def _judge_the_end(self) -> None:
        findings, memory = self._findings, self.result.memory
        for number in await self._ledger.written():
            if self._is_new(sent := self._target.inputs[number], STAYS):
                findings.append(Finding(STAYS, sent, number))
        findings += map(Finding, await unreadable(self._target))
        growth = memory[-1] - memory[len(memory) // WARM_UP]
        if growth > MOST_GROWTH:
            findings.append(Finding(f"the server's memory grew by {growth / MIB:.1f} MiB after the first quarter"))
        if log := self._target.server.log.strip():
            findings.append(Finding(f"the server's log: {log[:2000]}"))


async def fuzz(target: Target, count: int, progress: Callable[[int], None] = lambda _: None) -> Result:
    """Sends so many inputs to the target."""
    async with administrator(target.dsn) as admin:
        return await Campaign(target, admin).run(count, progress)
