"""Where a price jumped further than is normal for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ai_grpc.demo.prices import Series

MOST_DEVIATIONS = 4.0


@dataclass(frozen=True)
class Jump:
    """The bar that the price jumped to, its logarithmic return, and how many standard deviations that is."""

    bar: int
    move: float
    deviations: float


def jumps(series: Series) -> list[Jump]:
    """The jumps of the trading part, up or down; what is normal was learnt from the training part."""
    moves = np.diff(np.log(series.close))
    normal = moves[: max(series.split - 1, 0)]
    deviations = (moves - normal.mean()) / normal.std()
    return [
        Jump(bar, float(moves[bar - 1]), float(deviations[bar - 1]))
        for bar in range(series.split, len(series))
        if abs(deviations[bar - 1]) > MOST_DEVIATIONS
    ]
