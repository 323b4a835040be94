"""What a soak run showed, for the terminal and for docs/reliability.md."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.table import Table

from tests.soak.soak import Result

FILE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN: Final = "<!-- soak -->"
END: Final = "<!-- /soak -->"
COLUMNS: Final = ("measure", "first third", "last third", "at most", "")


def summary(result: Result) -> str:
    """The run in one paragraph."""
    return (
        f"{result.seconds / 60:g} minutes, 2 servers, {result.subscribers} subscribers. The machine carried "
        f"{result.capacity:,.0f} signals/s until the last subscriber had them; the load was half of that, "
        f"{result.rate:,.0f} signals/s. {result.published:,} signals were acknowledged, {result.delivered:,} events "
        f"delivered, and {result.reconnects:,} streams opened. Faults: {len(result.faults)}."
    )


def table_of(result: Result) -> Table:
    """All measures, for the terminal."""
    table = Table(*COLUMNS)
    for row in _rows(result):
        table.add_row(*row)
    return table


def write(result: Result, file: Path = FILE) -> None:
    """Puts the section between its markers; at the end of the file if it has none."""
    lines = ["## Soak", "", f"{datetime.now(UTC):%Y-%m-%d}. {summary(result)}", ""]
    lines += ["Medians, after a warm-up of a tenth of the run; `make soak` repeats it.", ""]
    lines += [f"| {' | '.join(COLUMNS)} |", "|---|---:|---:|---:|---|"]
    lines += [f"| {' | '.join(row)} |" for row in _rows(result)]
    section = "\n".join([BEGIN, *lines, END])
    text = file.read_text() if file.exists() else "# Reliability\n"
    if BEGIN in text:
        text = re.sub(f"{BEGIN}.*?{END}", lambda _: section, text, flags=re.DOTALL)
    else:
        text = f"{text.rstrip()}\n\n{section}\n"
    file.write_text(text)


def _rows(result: Result) -> list[tuple[str, ...]]:
    return [
        (each.name, f"{each.first:.1f}", f"{each.last:.1f}", f"{each.most:.1f}", "flat" if each.is_flat else "GROWS")
        for each in result.verdicts
    ]
