"""The figures of a run: each has a name and one value a round, in seconds, per second, or as a count."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

PERCENTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99}


class Figures:
    """What the rounds measured, by name. The unit is in the name: a rate is per second, a percentile in seconds."""

    def __init__(self, values: dict[str, list[float]] | None = None) -> None:
        self.values = values or {}

    def note(self, name: str, value: float) -> None:
        """Adds this round's value."""
        self.values.setdefault(name, []).append(value)

    def note_latency(self, name: str, seconds: Sequence[float]) -> None:
        """Adds this round's percentiles."""
        for suffix, share in PERCENTILES.items():
            self.note(f"{name} {suffix}", percentile(seconds, share))

    def median(self, name: str) -> float:
        """The median of the rounds."""
        return statistics.median(self.values[name])

    def text(self, name: str) -> str:
        """The median for people, with its unit."""
        return text_of(name, self.median(name))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 1).__int__() - 1)]


def text_of(name: str, value: float) -> str:
    """A value for people, with the unit that its name implies."""
    if name.endswith("rate"):
        return f"{value:,.0f} /s"
    if not name.endswith((*PERCENTILES, "cpu")):
        return f"{value:,.4g}"
    return f"{value * 1000:,.1f} ms" if value >= 0.01 else f"{value * 1e6:,.{0 if value >= 1e-4 else 1}f} µs"
