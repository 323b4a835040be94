"""docs/benchmarks.md, written from docs/benchmarks.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.charts import draw
from benchmarks.figures import Figures
from benchmarks.notes import REASONS
from benchmarks.peers import PROMISES
from benchmarks.row import Cells, Row
from benchmarks.rows import OTHERS, TARGETS
from benchmarks.stage import Scale

HEAD = ("what", "figure", "divided by", "ratio", "spread", "target", "")

METHOD = Path(__file__).with_name("method.md")


def write(run: dict[str, Any], folder: Path) -> None:
    """Writes the document, the charts and the figures of a run."""
    (folder / "benchmarks.json").write_text(json.dumps(run, indent=1) + "\n")
    figures = Figures(run["figures"])
    charts = draw(figures, run["scale"]["subscribers"], folder)
    pictures = [f"![{title}]({name})" for name, title in charts]
    parts = [
        "# Benchmarks",
        "Written by `make bench`; the figures of every round are in [benchmarks.json](benchmarks.json).",
        _facts(run, Scale(**run["scale"])),
        *_table("## Targets", TARGETS, figures),
        *_reasons(figures),
        "## Charts",
        *pictures,
        "## What an acknowledgement promises",
        "An acknowledgement without fsync is not the same thing as one with.",
        _markdown(("publisher", "acknowledged means"), PROMISES.items()),
        *_table("## Other figures", OTHERS, figures),
        "## How it is measured",
        METHOD.read_text().rstrip(),
    ]
    (folder / "benchmarks.md").write_text("\n\n".join(parts) + "\n")


def render(folder: Path) -> None:
    """Writes the document again from the figures that are there."""
    write(json.loads((folder / "benchmarks.json").read_text()), folder)


def _facts(run: dict[str, Any], scale: Scale) -> str:
    facts = {
        "date": run["date"],
        "command": f"`{run['command']}`",
        "machine": run["machine"],
        "versions": ", ".join(f"{name} {version}" for name, version in run["versions"].items()),
        "size": f"{scale.rounds} rounds of {scale.seconds:g} s, {scale.events:,} events replayed, {scale.subscribers:,}"
        f" subscribers, {scale.history:,} signals stored",
        "length": f"{run['seconds'] / 60:.1f} minutes",
    }
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())


def _table(title: str, rows: Iterable[Row], figures: Figures) -> list[str]:
    cells = [cells for row in rows if (cells := row.cells(figures))]
    return [title, _markdown(HEAD, cells)] if cells else []


def _reasons(figures: Figures) -> list[str]:
    """Why the rows that miss do."""
    missed = [cells.name for row in TARGETS if (cells := row.cells(figures)) and cells.verdict == "MISS"]
    lines = [f"- **{name}**: {REASONS.get(name, 'the reason was not found.')}" for name in missed]
    return ["### Why a target is missed", "\n".join(lines)] if lines else []


def _markdown(head: Sequence[str], rows: Iterable[Cells | Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
