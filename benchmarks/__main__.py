"""Speed as ratios: a figure of the service over a ceiling or a peer, measured in the same round of the same run."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import document
from benchmarks.bulk import bulk
from benchmarks.fanout import fanout
from benchmarks.figures import Figures
from benchmarks.ingest import ingest
from benchmarks.latency import latency
from benchmarks.load import Call
from benchmarks.machine import machine, versions
from benchmarks.publisher import publisher
from benchmarks.replay import replay
from benchmarks.row import Row
from benchmarks.rows import OTHERS, TARGETS
from benchmarks.stage import Scale, Stage
from benchmarks.stored import stored
from benchmarks.trading import trading
from benchmarks.unary import unary
from benchmarks.workers import workers
from tests.cluster import Cluster

SECTIONS: dict[str, Callable[[Stage], AbstractAsyncContextManager[Call]]] = {
    "latency": latency,
    "unary": unary,
    "publisher": publisher,
    "bulk": bulk,
    "ingest": ingest,
    "replay": replay,
    "fanout": fanout,
    "stored": stored,
    "trading": trading,
    "workers": workers,
}

FULL = Scale(rounds=5, seconds=1.5, events=200_000, subscribers=1000, history=10_000_000)
QUICK = Scale(rounds=3, seconds=0.5, events=50_000, subscribers=1000, history=200_000)

# The sections of the quick run: the others need time to set up.
MAIN = ("latency", "unary", "publisher", "bulk", "replay", "fanout")

EXAMPLES = """examples:
  python -m benchmarks --output docs            everything; writes docs/benchmarks.md, .json and the charts
  python -m benchmarks --quick                  the main rows in two minutes
  python -m benchmarks --only latency unary     these sections, at full length
  python -m benchmarks --quick --only fanout --subscribers 300 --rounds 1
  python -m benchmarks --render docs            docs/benchmarks.md again, from docs/benchmarks.json
"""


async def run(names: Sequence[str], scale: Scale) -> dict[str, Any]:
    """Measures section after section; in each, the rounds put what is compared side by side."""
    begin = time.monotonic()
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    with Cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        stage = Stage(cluster, Path(folder), scale)
        for name in names:
            await measure(name, stage)
        return {
            "date": date,
            "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
            "machine": machine(),
            "versions": versions(cluster),
            "seconds": round(time.monotonic() - begin),
            "scale": scale._asdict(),
            "figures": stage.figures.values,
        }


async def measure(name: str, stage: Stage) -> None:
    """All rounds of a section."""
    started = time.monotonic()
    print(f"{name} ...", flush=True)
    async with SECTIONS[name](stage) as round:
        for number in range(stage.scale.rounds):
            await round()
            seconds = time.monotonic() - started
            print(f"{name}: round {number + 1} of {stage.scale.rounds} done after {seconds:.0f} s", flush=True)


def table_of(title: str, rows: Sequence[Row], figures: Figures) -> Table:
    """The measured rows, for a terminal."""
    table = Table("what", "figure", "divided by", "ratio", "spread", "target", "", title=title)
    for row in rows:
        if cells := row.cells(figures):
            table.add_row(*cells, style="bold red" if cells.verdict == "MISS" else None)
    return table


def arguments() -> argparse.Namespace:
    """What to measure, how large, and where to write it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="small and short")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="NAME", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write the document, its charts and its figures")
    parser.add_argument("--render", type=Path, metavar="FOLDER", help="only write the document again, from its figures")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="length of each measurement under load")
    parser.add_argument("--events", type=int, help="events of a replay")
    parser.add_argument("--subscribers", type=int, help="subscribers of the fan-out")
    parser.add_argument("--history", type=int, help="signals stored before the acknowledgements are measured")
    return parser.parse_args()


def main() -> None:
    """Measures, prints, and writes if asked to."""
    options = arguments()
    if options.render:
        document.render(options.render)
        return
    chosen = {name: value for name in Scale._fields if (value := getattr(options, name)) is not None}
    scale = (QUICK if options.quick else FULL)._replace(**chosen)
    results = uvloop.run(run(options.only or (MAIN if options.quick else list(SECTIONS)), scale))
    console = Console(width=None if sys.stdout.isatty() else 180)
    console.print(table_of("targets", TARGETS, Figures(results["figures"])))
    console.print(table_of("others", OTHERS, Figures(results["figures"])))
    print(f"{results['seconds'] / 60:.1f} minutes in all")
    if options.output:
        document.write(results, options.output)


if __name__ == "__main__":
    main()
