"""A row of the table: a figure over others, and whether it meets its target."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.figures import Figures, text_of


class Cells(NamedTuple):
    """A row as text."""

    name: str
    figure: str
    divided_by: str
    ratio: str
    spread: str
    target: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Row:
    """A figure, the figures whose sum it is divided by, if any, and the target of the quotient."""

    name: str
    figure: str
    over: tuple[str, ...] = ()
    at_most: float | None = None
    at_least: float | None = None

    def values(self, figures: Figures) -> list[float]:
        """One value a round; empty if something was not measured."""
        if any(name not in figures.values for name in (self.figure, *self.over)):
            return []
        values = figures.values[self.figure]
        if not self.over:
            return values
        divisors = map(sum, zip(*(figures.values[name] for name in self.over), strict=True))
        return [value / divisor for value, divisor in zip(values, divisors, strict=True)]

    def cells(self, figures: Figures) -> Cells | None:
        """The row as text, if it was measured."""
        if not (values := self.values(figures)):
            return None
        median = statistics.median(values)
        spread = f"{self._text(min(values))} to {self._text(max(values))}"
        divided_by = " + ".join(f"{name} {figures.text(name)}" for name in self.over)
        ratio = self._text(median) if self.over else ""
        return Cells(
            self.name, figures.text(self.figure), divided_by, ratio, spread, self._target(), self._verdict(median)
        )

    def _text(self, value: float) -> str:
        return f"{value:.2f}" if self.over else text_of(self.figure, value)

    def _target(self) -> str:
        if self.at_most is not None:
            return f"≤ {self._text(self.at_most)}"
        return f"≥ {self._text(self.at_least)}" if self.at_least is not None else ""

    def _verdict(self, median: float) -> str:
        if self.at_most is not None:
            return "met" if median <= self.at_most else "MISS"
        if self.at_least is not None:
            return "met" if median >= self.at_least else "MISS"
        return ""
