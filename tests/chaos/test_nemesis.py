"""The order of the faults follows from the seed, and leaves none out."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from tests.chaos.nemesis import mixes, names


def test_one_seed_gives_one_order_and_another_seed_another() -> None:
    first, again, other = (list(islice(mixes(seed, 600, names()), 50)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("seed", range(5))
def test_every_fault_comes_up_before_any_comes_up_again(seed: int) -> None:
    times: Counter[str] = Counter({name: 0 for name in names()})
    for mix in islice(mixes(seed, 600, names()), 300):
        times.update(fault.name for fault, _ in mix.faults)
        assert max(times.values()) - min(times.values()) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_there_are_quiet_periods_and_one_fault_at_a_time_in_each_part(seed: int) -> None:
    some = list(islice(mixes(seed, 600, names()), 300))
    assert 30 < sum(not mix.faults for mix in some) < 120
    for mix in some:
        parts = [fault.part for fault, _ in mix.faults]
        assert len(parts) == len(set(parts))
