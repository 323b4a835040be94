"""The jumps that are found are those that were planted, measured by what was normal before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ai_grpc.demo.jumps import jumps
from ai_grpc.demo.prices import Series
from tests.demo.series import closes

SPLIT = 500


def a_walk(planted: dict[int, float]) -> Series:
    """Prices whose logarithm moves by 1 % up or down, and by as many standard deviations as planted at some bars."""
    moves = np.where(np.arange(999) % 2, 0.01, -0.01)
    normal = moves[: SPLIT - 1]
    for bar, deviations in planted.items():
        moves[bar - 1] = normal.mean() + deviations * normal.std()
    return replace(closes(*(100 * np.exp(np.concatenate(([0.0], np.cumsum(moves)))))), split=SPLIT)


def test_planted_jumps_are_found_with_their_deviations_and_nothing_else() -> None:
    found = jumps(a_walk({600: 5.0, 700: -6.5, 800: 3.9, 999: 4.1}))
    assert [jump.bar for jump in found] == [600, 700, 999]
    assert [jump.deviations for jump in found] == pytest.approx([5.0, -6.5, 4.1])
    assert found[0].move == pytest.approx(0.05, rel=0.01)


def test_quiet_prices_have_none() -> None:
    assert jumps(a_walk({})) == []


def test_jump_of_the_training_part_is_not_reported_and_the_trading_part_does_not_say_what_is_normal() -> None:
    assert jumps(a_walk({SPLIT: 5.0})) != []
    assert jumps(a_walk({SPLIT - 1: 5.0})) == []
    calm, wild = a_walk({600: 5.0}), a_walk({600: 5.0, 700: 1000.0})
    assert jumps(calm)[0] == jumps(wild)[0]
