"""Many durations, in little memory."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import quantiles
from typing import Final

MOST: Final = 500


class Latencies:
    """A fair sample of the durations since it was last taken."""

    def __init__(self) -> None:
        self._kept: list[float] = []
        self._count = 0

    def add(self, seconds: float) -> None:
        """Notes one."""
        self._count += 1
        if len(self._kept) < MOST:
            self._kept.append(seconds)
        elif (place := int(random.random() * self._count)) < MOST:
            self._kept[place] = seconds

    def take(self) -> list[float]:
        """The sample, which begins anew."""
        kept, self._kept, self._count = self._kept, [], 0
        return kept


def percentile(seconds: Sequence[float], percent: int) -> float:
    """In milliseconds; not a number if there are too few."""
    return quantiles(seconds, n=100)[percent - 1] * 1000 if len(seconds) > 1 else float("nan")
