"""Whether what was measured stayed as it was: the last third of a run against the first, by their medians."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from tests.soak.samples import Sample


@dataclass(frozen=True, slots=True)
class Bound:
    """How far the last third may lie above the first: by a share of it, and by an amount."""

    share: float
    amount: float


# By the end of a measure's name. Memory fragments, restless subscribers come and go, other work delays a call.
BOUNDS: Final = {
    "memory MiB": Bound(0.05, 8),
    "file descriptors": Bound(0.1, 10),
    "threads": Bound(0, 2),
    "tasks": Bound(0.1, 10),
    "p50 ms": Bound(0.5, 2),
    "p99 ms": Bound(1, 20),
}
CONNECTIONS: Final = Bound(0, 1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One measure over a run."""

    name: str
    first: float
    last: float
    most: float

    @property
    def is_flat(self) -> bool:
        """Whether the last third is within the bound."""
        return self.last <= self.most


def verdicts(samples: Sequence[Sample]) -> list[Verdict]:
    """One for each measure that was ever taken after the warm-up. Fewer than three samples say nothing."""
    names = sorted({name for sample in samples for name in sample})
    third = len(samples) // 3
    if not third:
        return []
    return [_verdict(name, _median(name, samples[:third]), _median(name, samples[-third:])) for name in names]


def _verdict(name: str, first: float, last: float) -> Verdict:
    bound = next((bound for end, bound in BOUNDS.items() if name.endswith(end)), CONNECTIONS)
    return Verdict(name, first, last, first * (1 + bound.share) + bound.amount)


def _median(name: str, samples: Sequence[Sample]) -> float:
    """Connections that are not there count as none."""
    values = [sample.get(name, 0) for sample in samples]
    return median(value for value in values if not math.isnan(value))
