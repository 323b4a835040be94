"""The demonstration as a whole: performed, shown, and judged by an exit status."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

from grpc import aio
from rich.console import Console

from ai_grpc.db import UNAVAILABLE
from ai_grpc.demo.conductor import Conductor
from ai_grpc.demo.processes import ChildDied
from ai_grpc.demo.report import show
from ai_grpc.demo.screen import Screen
from ai_grpc.demo.story import Scale
from ai_grpc.errors import ConfigurationError

MOST_SECONDS = 180.0
INTERRUPTED = 130
EXPECTED = (ChildDied, ConfigurationError, aio.AioRpcError, *UNAVAILABLE)


def run(scale: Scale, *, configured_database: bool = False) -> int:
    """Performs a demonstration. Returns 0 if the bot's log was equal to the signal log, 1 if anything went wrong."""
    return asyncio.run(_run(scale, configured_database, Console()))


async def _run(scale: Scale, configured_database: bool, console: Console) -> int:
    stopped = _stop_on_signals()
    try:
        with Screen(console, scale.generations) as screen:
            conductor = Conductor(scale, screen)
            async with asyncio.timeout(MOST_SECONDS):
                await conductor.perform(configured_database=configured_database)
    except asyncio.CancelledError:
        if not stopped.is_set():
            raise
        console.print("stopped")
        return INTERRUPTED
    except (*EXPECTED, ExceptionGroup) as error:
        causes = list(_causes(error))
        if not all(isinstance(cause, EXPECTED) for cause in causes):
            raise
        for cause in causes:
            console.print(f"The demonstration failed: {cause or 'it took too long'}", style="bold red", markup=False)
        return 1
    show(conductor.story, console)
    console.print(f"Took {conductor.story.seconds:.0f} s.")
    return 1 if conductor.story.faults else 0


def _causes(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _causes(part)
    else:
        yield error


def _stop_on_signals() -> asyncio.Event:
    stopped, task = asyncio.Event(), asyncio.current_task()
    assert task is not None

    def stop() -> None:
        # Once only: a second Ctrl-C must not break off the ending of the processes.
        if not stopped.is_set():
            stopped.set()
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    return stopped
