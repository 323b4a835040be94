"""What a run says in the end, on the screen and in the document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.chaos.arena import Arena
from tests.chaos.checker import INVARIANTS, Violation
from tests.chaos.faults import FAULTS
from tests.chaos.history import History, Stream
from tests.chaos.history import Outcome as End
from tests.chaos.ledgers import EVENTS
from tests.chaos.nemesis import names
from tests.chaos.nouns import Noun

ENDS: Final = (End.OK, End.FAIL, End.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run."""

    seed: int
    seconds: float
    arena: Arena
    violations: Sequence[Violation]
    command: str

    @property
    def streams(self) -> list[Stream]:
        """Of both logs."""
        return [stream for history in self.arena.histories.values() for stream in history.streams]

    @property
    def figures(self) -> Iterator[tuple[str, str]]:
        """The run in numbers."""
        arena = self.arena
        yield "seconds", f"{self.seconds:.0f}"
        yield "faults injected", f"{arena.injected.total():,}"
        for ledger, history in arena.histories.items():
            yield f"events in the {ledger.name}", f"{history.head:,}"
        for noun, recording in arena.recordings.items():
            yield from _figures_of(noun, recording.counts)
        yield "transactions by SQL: committed, rolled back, unknown", _transactions(arena.histories[EVENTS])
        yield "streams opened", f"{len(self.streams):,}"
        yield "events delivered", f"{sum(len(m.events) for stream in self.streams for m in stream.messages):,}"
        yield "positions probed", f"{sum(len(history.probes) for history in arena.histories.values()):,}"
        yield "servers drained", f"{len(arena.history.drains):,}"
        yield "violations", f"{len(self.violations):,}"


def _figures_of(noun: Noun, counts: Counter[str]) -> Iterator[tuple[str, str]]:
    yield f"{noun.plural} acknowledged", f"{counts['acknowledged']:,}"
    yield (
        f"requests to write {noun.plural}: answered, refused, unknown",
        _each(counts[f"publish {outcome}"] for outcome in ENDS),
    )
    unknown = "publish unknown "
    yield (
        "why it was unknown",
        ", ".join(f"{key.removeprefix(unknown)} {counts[key]:,}" for key in counts if key.startswith(unknown)),
    )
    if len(noun.kinds) > 1:
        yield f"calls to end {noun.plural}: won, lost, unknown", _each(counts[f"end {outcome}"] for outcome in ENDS)


def _transactions(history: History) -> str:
    outcomes = Counter(publish.outcome for publish in history.publishes if publish.replica == "sql")
    return _each(outcomes[outcome] for outcome in ENDS)


def _each(counts: Iterable[int]) -> str:
    return " · ".join(f"{count:,}" for count in counts)


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
    yield (
        "Bounds",
        [(m.invariant, m.what, f"{m.value:g}", f"≤ {m.bound:g}") for m in arena.history.measurements],
    )
    yield "Run", list(outcome.figures)


def document(outcome: Outcome) -> str:
    """The report of the run in Markdown."""
    arena = outcome.arena
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    faults = [(name, FAULTS[name].text, str(arena.injected[name])) for name in names()]
    variants = [(name, str(count)) for name, count in sorted(arena.variants.items())]
    promises = [(name, invariant.promise) for name, invariant in INVARIANTS.items()]
    bounds = [(m.invariant, m.what, f"{m.value:g}", f"{m.bound:g}") for m in arena.history.measurements]
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
            "They hold of both logs, and of all who read them: by the streams of signals, anomalies and generations, or"
            " by polling in SQL.",
            _markdown(("invariant", "what always holds"), promises),
            "## Bounds",
            _markdown(("invariant", "figure", "value", "bound"), bounds),
            f"## Again\n\n```\n{outcome.command}\n```\n",
        )
    )


INTRODUCTION: Final = """\
`make chaos` runs three servers on one PostgreSQL, with a TCP proxy on every line between them and to their clients.
Publishers and subscribers, by the SDK and by the bare contract, write down what they sent, what they were answered (a
timeout is *unknown*, never a failure) and what they saw. Beside the signals they report and resolve anomalies, record
generations, and watch both; others write anomalies by SQL, in transactions of which some are rolled back, and follow
both logs by SQL. Faults come and go; then everything is healed, everybody has to catch up within a bound, and a checker
compares all histories with the logs and the tables: of the signals, and of all else, whose events triggers log. The
checker itself is tested with bugs that are put into the exchange on purpose (`tests/chaos/bugs.py`): it finds each."""


def _markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
