"""What a run says in the end, on the screen and in the document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.chaos.arena import Arena
from tests.chaos.checker import INVARIANTS, Violation
from tests.chaos.faults import FAULTS
from tests.chaos.history import History
from tests.chaos.nemesis import names


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run."""

    seed: int
    seconds: float
    arena: Arena
    violations: Sequence[Violation]
    command: str

    @property
    def history(self) -> History:
        """What was written down."""
        return self.arena.recording.history

    @property
    def figures(self) -> Iterator[tuple[str, str]]:
        """The run in numbers."""
        counts, history = self.arena.recording.counts, self.history
        yield "seconds", f"{self.seconds:.0f}"
        yield "faults injected", f"{self.arena.injected.total():,}"
        yield "signals acknowledged", f"{counts['signals']:,}"
        yield "events in the log", f"{history.head:,}"
        yield (
            "requests to publish: answered, refused, unknown",
            " · ".join(f"{counts[f'publish {outcome}']:,}" for outcome in ("ok", "fail", "unknown")),
        )
        unknown = "publish unknown "
        yield (
            "why it was unknown",
            ", ".join(f"{key.removeprefix(unknown)} {counts[key]:,}" for key in counts if key.startswith(unknown)),
        )
        yield (
            "calls to end a signal: won, lost, unknown",
            " · ".join(f"{counts[f'end {outcome}']:,}" for outcome in ("ok", "fail", "unknown")),
        )
        yield "streams opened", f"{len(history.streams):,}"
        yield "events delivered", f"{sum(len(m.events) for stream in history.streams for m in stream.messages):,}"
        yield "positions probed", f"{len(history.probes):,}"
        yield "servers drained", f"{len(history.drains):,}"
        yield "violations", f"{len(self.violations):,}"


def show(outcome: Outcome, console: Console) -> None:
    """The summary, and every violation with its shortest history."""
    for title, rows in _tables(outcome):
        table = Table(title=title, title_justify="left", show_header=False)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for trouble in outcome.arena.troubles:
        console.print(f"[yellow]trouble[/] {trouble}", highlight=False)
    for violation in outcome.violations:
        console.print(str(violation), style="red", highlight=False, markup=False)
    if outcome.violations:
        console.print(f"run again: {outcome.command}", highlight=False, markup=False)


def _tables(outcome: Outcome) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    arena = outcome.arena
    yield "Faults", [(name, str(arena.injected[name]), FAULTS[name].text) for name in names() if arena.planned[name]]
    yield "Bounds", [(m.invariant, m.what, f"{m.value:g}", f"≤ {m.bound:g}") for m in outcome.history.measurements]
    yield "Run", list(outcome.figures)


def document(outcome: Outcome) -> str:
    """The report of the run in Markdown."""
    arena = outcome.arena
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    faults = [(name, FAULTS[name].text, str(arena.injected[name])) for name in names()]
    variants = [(name, str(count)) for name, count in sorted(arena.variants.items())]
    promises = [(name, invariant.promise) for name, invariant in INVARIANTS.items()]
    bounds = [(m.invariant, m.what, f"{m.value:g}", f"{m.bound:g}") for m in outcome.history.measurements]
    return "\n\n".join(
        (
            "# Reliability",
            INTRODUCTION,
            f"The figures are of {day}: a run of {outcome.seconds:.0f} s with the seed {outcome.seed}.",
            _markdown(("what", "figure"), list(outcome.figures)),
            "## Faults",
            "They come as random mixes from the seed, one fault at a time in each part of the world, with quiet periods"
            " between them.",
            _markdown(("fault", "what happens", "times"), faults),
            _markdown(("in detail", "times"), variants),
            "## Invariants",
            _markdown(("invariant", "what always holds"), promises),
            "## Bounds",
            _markdown(("invariant", "figure", "value", "bound"), bounds),
            f"## Again\n\n```\n{outcome.command}\n```\n",
        )
    )


INTRODUCTION: Final = """\
`make chaos` runs three servers on one PostgreSQL, with a TCP proxy on every line between them and to their clients.
Publishers and subscribers, by the SDK and by the bare contract, write down what they sent, what they were answered (a
timeout is *unknown*, never a failure) and what they saw. Faults come and go; then everything is healed, everybody has
to catch up within a bound, and a checker compares all histories with the log and the tables. The checker itself is
tested with bugs that are put into the exchange on purpose (`tests/chaos/bugs.py`): it finds each of them."""


def _markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
