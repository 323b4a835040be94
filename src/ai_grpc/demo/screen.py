"""The demonstration on the terminal while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from ai_grpc.demo.prices import MARKETS
from ai_grpc.demo.story import Message


class Screen:
    """A line for each thing that goes on, and what happens above them."""

    def __init__(self, console: Console, generations: int) -> None:
        columns = (
            TextColumn("{task.description:<18}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._progress = Progress(*columns, console=console)
        self._bred = {symbol: self._line(f"breeding {symbol}", generations + 1) for symbol in MARKETS}
        self._published = self._line("signals published", None)
        self._heard = self._line("bot events", None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def note(self, text: str) -> None:
        """Says what happens."""
        self._progress.console.print(text)

    def studied(self, studies: Mapping[str, Message]) -> None:
        """The prices were studied, before anything was bred on them."""
        vectors, jumps = (sum(study[name] for study in studies.values()) for name in ("vectors", "jumps"))
        self.note(f"model: recorded {vectors} feature vectors, {len(studies)} spectra and {jumps} anomalies")

    def generation(self, symbol: str, bred: Message) -> None:
        """A generation came through the stream."""
        note = f"best fitness {bred['best_fitness']:.2f}, average {bred['average_fitness']:.2f}"
        self._progress.update(self._bred[symbol], advance=1, note=note)

    def bred(self, signals: int) -> None:
        """It is known how many signals there will be: two events each."""
        self.note(f"model: configured with the best genes, which fire {signals} times")
        self._progress.update(self._published, total=signals)
        self._progress.update(self._heard, total=2 * signals)

    def published(self, signal: Message) -> None:
        """A signal was acknowledged."""
        note = f"{signal['type']} {signal['symbol']} as {signal['sequence']}"
        self._progress.update(self._published, advance=1, note=note)

    def heard(self, events: int, note: str) -> None:
        """The bot has so many events."""
        self._progress.update(self._heard, completed=events, note=note)

    def _line(self, description: str, total: int | None) -> TaskID:
        return self._progress.add_task(description, total=total, note="")
