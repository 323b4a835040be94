"""`python -m tests.fuzz`: every RPC, with bytes that are no messages and with messages that mean harm."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from ai_grpc import migrations
from ai_grpc.settings import MIB
from tests.cluster import Cluster
from tests.fuzz.calls import outcome_of
from tests.fuzz.campaign import fuzz
from tests.fuzz.findings import Finding, Result
from tests.fuzz.inputs import Input
from tests.fuzz.target import target_on

console = Console()


def main(
    inputs: Annotated[int, typer.Option(min=1, help="How many inputs to send.")] = 200_000,
    seed: Annotated[int | None, typer.Option(help="Repeats a run.")] = None,
    call: Annotated[str, typer.Option(help="Makes one call only, to this method, with the messages given.")] = "",
    message: Annotated[list[str] | None, typer.Option(help="The bytes of a message in hex.")] = None,
) -> None:
    """Sends inputs to a server of its own, on a PostgreSQL of its own. Exit status 1 if a property does not hold."""
    seed = random.randrange(10**6) if seed is None else seed
    with Cluster() as cluster, tempfile.TemporaryDirectory() as home:
        migrations.up(cluster.url())
        if call:
            fault = uvloop.run(_call(cluster.url(), Path(home, "log"), seed, call, message or []))
            sys.exit(1 if fault else 0)
        started = time.monotonic()
        result = uvloop.run(_fuzz(cluster.url(), Path(home, "log"), seed, inputs))
    _report(result, seed, inputs, time.monotonic() - started)
    sys.exit(1 if result.findings else 0)


async def _fuzz(dsn: str, log: Path, seed: int, count: int) -> Result:
    columns = (TextColumn(f"seed {seed}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with target_on(dsn, log, seed) as target:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("inputs", total=count)
            return await fuzz(target, count, lambda done: progress.advance(task, done))


async def _call(dsn: str, log: Path, seed: int, path: str, messages: list[str]) -> str:
    async with target_on(dsn, log, seed) as target:
        method = next(method for method in target.methods if method.path == path)
        outcome = await outcome_of(target.channels[0], Input(method, tuple(map(bytes.fromhex, messages))))
        console.print(outcome.status, outcome.fault or "as it should be", target.server.log, markup=False)
        return outcome.fault


def _report(result: Result, seed: int, count: int, seconds: float) -> None:
    statuses = sorted({status for _, status in result.calls}, key=lambda status: (status != "OK", status))
    table = Table(Column("method", no_wrap=True), *(status.lower().replace("_", " ") for status in statuses))
    for path in sorted({path for path, _ in result.calls}):
        table.add_row(path.rpartition("/")[2], *(str(result.calls[path, status] or "") for status in statuses))
    sums: Counter[str] = Counter()
    for (_, status), number in result.calls.items():
        sums[status] += number
    table.add_section()
    table.add_row("all", *(str(sums[status]) for status in statuses))
    console.print(table)
    memory = ", ".join(f"{size / MIB:.0f}" for size in result.memory)
    console.print(f"{result.calls.total()} inputs in {seconds:.0f} s")
    console.print(f"memory of the server, MiB: {memory}")
    for finding in result.findings:
        _explain(finding, seed, count)
    console.print(f"violations: {len(result.findings)}", style="red" if result.findings else "green")


def _explain(finding: Finding, seed: int, count: int) -> None:
    console.print(f"\n{finding.text}", style="red", markup=False)
    if finding.sent is not None:
        messages = "".join(f" --message '{message.hex()}'" for message in finding.sent.messages)
        number = "" if finding.number is None else f"input {finding.number}: "
        command = f"python -m tests.fuzz --seed {seed} --call {finding.sent.method.path}{messages}"
        console.print(f"{number}{command}", markup=False, soft_wrap=True)
    console.print(f"the whole run: python -m tests.fuzz --seed {seed} --inputs {count}", soft_wrap=True)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
