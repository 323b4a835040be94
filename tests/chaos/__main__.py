"""`python -m tests.chaos`: faults for a while, and whether every promise was kept."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from pathlib import Path
from signal import SIGTERM
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from tests.chaos.nemesis import names
from tests.chaos.report import Outcome, document, show
from tests.chaos.run import Plan, run

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "reliability.md"


def main(
    duration: Annotated[float, typer.Option(help="Seconds under load, the figures in the end included.")] = 600,
    seed: Annotated[int | None, typer.Option(help="What the faults and the clients follow; random by default.")] = None,
    faults: Annotated[str, typer.Option(help="Only these, as F1,F5.")] = "",
    bug: Annotated[str, typer.Option(help="A seeded bug of tests/chaos/bugs.py.")] = "",
    report: Annotated[bool, typer.Option("--report", help="Write docs/reliability.md.")] = False,
) -> None:
    """Exit status 1 if a promise was broken."""
    console = Console()
    # The SDK says at WARNING that it connects again.
    logging.getLogger("ai_grpc.client").setLevel(logging.ERROR)
    chosen = [name for name in faults.split(",") if name]
    if unknown := set(chosen) - set(names()):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: there are {', '.join(names())}")
    if "F13" not in names():
        console.print("F13 is left out: libfaketime is not installed")
    plan = Plan(random.randrange(10**6) if seed is None else seed, duration, chosen, bug)
    console.print(plan.command, highlight=False)
    outcome = asyncio.run(_until_told(run(plan, chosen or names(), lambda line: console.print(line, highlight=False))))
    show(outcome, console)
    if report:
        written = DOCUMENT.read_text() if DOCUMENT.exists() else ""
        # The soak has written its section at the end.
        DOCUMENT.write_text(document(outcome) + "".join(written.partition("\n<!-- soak -->")[1:]))
    raise typer.Exit(1 if outcome.violations else 0)


async def _until_told(running: Coroutine[Any, Any, Outcome]) -> Outcome:
    """SIGTERM ends a run in good order: its servers end with it."""
    task = asyncio.create_task(running)
    asyncio.get_running_loop().add_signal_handler(SIGTERM, task.cancel)
    return await task


if __name__ == "__main__":
    typer.run(main)
