"""Which input ended the server, of the many that were in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import grpc

from tests.fuzz.calls import OPTIONS, outcome_of
from tests.fuzz.findings import Finding
from tests.fuzz.target import Target
from tests.server import ServerProcess

# A process may live for a moment after its connections broke, which is long on a machine that is busy.
DEATH_SECONDS = 20


def has_died(server: ServerProcess) -> bool:
    """Whether the process has ended."""
    return server.process is None or server.process.returncode is not None


async def dies(server: ServerProcess) -> bool:
    """Whether it has ended, or does within a moment."""
    assert server.process is not None
    with suppress(TimeoutError):
        await asyncio.wait_for(server.process.wait(), DEATH_SECONDS)
    return has_died(server)


async def culprit(target: Target, numbers: Iterable[int]) -> Finding:
    """The first of the inputs that ends a server which was started anew and does nothing else."""
    await target.server.start()
    options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(target.server.target, options) as channel:
        for number in numbers:
            sent = target.inputs[number]
            outcome = await outcome_of(channel, sent)
            if outcome.status == grpc.StatusCode.UNAVAILABLE.name and await dies(target.server):
                return Finding("the server died", sent, number)
    return Finding("the server died, and not again of any single input that was in flight")
