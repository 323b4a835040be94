"""`python -m tests.soak`: half load for half an hour, in which nothing may grow and nothing may be missed."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from rich.console import Console

from ai_grpc import migrations
from tests.cluster import Cluster
from tests.soak.report import summary, table_of, write
from tests.soak.samples import Sample
from tests.soak.soak import soak

INTERVAL: Final = 5.0
SHOWN: Final = {
    "server 1: memory MiB": "MiB",
    "server 2: memory MiB": "MiB",
    "publish to ack, p50 ms": "ms to ack",
    "publish to event, p50 ms": "ms to event",
    "publish to event, p99 ms": "ms at p99",
}

console = Console()


def main(
    minutes: Annotated[float, typer.Option(min=0.2, help="How long.")] = 30,
    subscribers: Annotated[int, typer.Option(min=10, help="How many.")] = 200,
    report: Annotated[bool, typer.Option("--report", help="Write the section of docs/reliability.md.")] = False,
) -> None:
    """Runs on servers and a PostgreSQL of its own. Exit status 1 if something grew or was missed."""
    with Cluster() as cluster, tempfile.TemporaryDirectory() as home:
        migrations.up(cluster.url())
        interval = min(INTERVAL, minutes * 60 / 30)
        result = uvloop.run(soak(cluster.url(), Path(home), minutes * 60, subscribers, interval, _show))
    console.print(table_of(result))
    console.print(summary(result))
    for fault in result.faults:
        console.print(fault, style="red", markup=False)
    if report:
        write(result)
    sys.exit(1 if result.faults or not all(verdict.is_flat for verdict in result.verdicts) else 0)


def _show(passed: float, sample: Sample) -> None:
    values = ", ".join(f"{sample[name]:.1f} {unit}" for name, unit in SHOWN.items())
    console.print(f"{passed:6.0f} s  {values}", highlight=False)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
