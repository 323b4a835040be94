"""Short runs of `make chaos`: every promise holds under the faults that two seeds bring."""

from __future__ import annotations

import pytest

from tests.chaos.nemesis import names
from tests.chaos.nouns import ANOMALY, GENERATION, SIGNAL
from tests.chaos.run import Plan, run

SECONDS = 30
LEAST = {SIGNAL: 500, ANOMALY: 300, GENERATION: 20}


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
async def test_no_promise_is_broken_by_faults(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = await run(Plan(seed, SECONDS, ()), names(), print)
    arena = outcome.arena
    assert not outcome.violations, "\n\n".join([*map(str, outcome.violations), outcome.command])
    assert not arena.troubles
    assert arena.injected == arena.planned
    assert len(arena.injected) > len(names()) / 3
    for noun, recording in arena.recordings.items():
        assert recording.counts["acknowledged"] > LEAST[noun], noun.plural
    for noun in (SIGNAL, ANOMALY):
        counts = arena.recordings[noun].counts
        assert counts["end ok"] > 10
        assert counts["publish unknown"] > 0, f"no fault has hit who writes {noun.plural}"
        assert counts["streams"] > 2 * len(arena.targets), "nobody had to connect again"
