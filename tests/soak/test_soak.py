"""A short soak: nobody misses anything, and what grows is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.soak.filters import KINDS, Total
from tests.soak.flatness import verdicts
from tests.soak.report import BEGIN, END, write
from tests.soak.soak import Result, soak

SECONDS: Final = 6
# Every filter with every habit that occurs.
SUBSCRIBERS: Final = 3 * KINDS


async def test_every_subscriber_is_given_what_it_wants_whatever_its_habits(database: str, tmp_path: Path) -> None:
    result = await soak(database, tmp_path, SECONDS, SUBSCRIBERS, interval=1)
    assert not result.faults, result.faults[0]
    assert result.published > result.rate * SECONDS / 2
    assert result.delivered > result.published
    assert result.reconnects > SUBSCRIBERS
    assert all(sample["server 1: tasks"] > 0 for sample in result.samples)


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [("server 1: memory MiB", 70, 85), ("server 2: tasks", 100, 130), ("connections: calls", 2, 4)],
)
def test_what_grows_is_seen(name: str, first: float, last: float) -> None:
    flat = {"server 1: threads": 8.0, "publish to ack, p50 ms": 2.0}
    samples = [{**flat, name: first + (last - first) * step / 9} for step in range(10)]
    assert {verdict.name for verdict in verdicts(samples) if not verdict.is_flat} == {name}


def test_a_total_tells_who_missed_an_event_from_who_had_them_all() -> None:
    given = [1, 2, 4, 5]
    assert Total(len(given), sum(given)) != Total(5, sum(range(1, 6)))


def test_the_report_replaces_its_own_section_only(tmp_path: Path) -> None:
    file = tmp_path / "reliability.md"
    file.write_text(f"# Reliability\n\nbefore\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    result = Result(60, 200, samples=[{"server 1: threads": 8.0}] * 3)
    write(result, file)
    write(result, file)
    text = file.read_text()
    assert text.startswith(f"# Reliability\n\nbefore\n\n{BEGIN}\n## Soak\n")
    assert text.endswith(f"{END}\n\nafter\n")
    assert text.count(BEGIN) == 1
    assert "old" not in text
