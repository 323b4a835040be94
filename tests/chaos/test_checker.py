"""The checker finds nothing wrong with what is right, and everything that is wrong, by its name."""

from __future__ import annotations

import time
from random import Random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.chaos.checker import INVARIANTS, check
from tests.chaos.history import Measurement
from tests.chaos.made_up import World
from tests.chaos.made_up_nouns import EVENTS, SIGNALS, Subject
from tests.chaos.mutations import DAMAGES, Damage

SEEDS = st.integers(0, 10**9)
SUBJECTS = {"signals": SIGNALS, "events": EVENTS}


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
@given(seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_history_without_a_fault_breaks_nothing(subject: Subject, seed: int) -> None:
    assert check(World(seed, subject).run(25)) == []


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
@given(seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_trimmed_history_without_a_fault_breaks_nothing(subject: Subject, seed: int) -> None:
    world = World(seed, subject)
    world.run(25)
    assert check(world.trim()) == []


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        pytest.param(name, damage, id=f"{name}-{damage.invariant}-{damage.mutation.__name__}")
        for name, subject in SUBJECTS.items()
        for damage in DAMAGES
        if subject in damage.subjects
    ],
)
@given(seed=SEEDS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_one_fault_is_found_and_named(name: str, damage: Damage, seed: int) -> None:
    history = World(seed, SUBJECTS[name]).run(25)
    try:
        damage.mutation(history, Random(seed))
    except IndexError:
        assume(False)
    assert damage.invariant in {violation.invariant for violation in check(history)}


@pytest.mark.parametrize("name", ["I13", "I14", "I15", "I16", "I17"])
@pytest.mark.parametrize("value", [2.1, float("inf"), float("nan")])
def test_measurement_beyond_its_bound_is_found(name: str, value: float) -> None:
    history = World(1).run(10)
    history.measurements.append(Measurement(name, "seconds until the last subscriber was at the head", value, 2.0))
    (violation,) = check(history)
    assert violation.invariant == name
    assert "seconds until the last subscriber" in str(violation)


def test_every_invariant_has_been_seen_broken() -> None:
    assert {damage.invariant for damage in DAMAGES} | {"I13", "I14", "I15", "I17"} == INVARIANTS.keys()


def test_violation_reads_as_the_few_lines_that_show_it() -> None:
    history = World(3).run(25)
    stream = history.streams[0]
    place = next(place for place, message in enumerate(stream.messages) if message.events)
    lost = stream.messages[place].events[0]
    stream.messages[place] = type(stream.messages[place])(
        stream.messages[place].time, "batch", stream.messages[place].position, stream.messages[place].events[1:]
    )
    violation = next(violation for violation in check(history) if violation.invariant == "I8")
    lines = violation.text.splitlines()
    assert len(lines) == 4
    assert "reader-0 on one: subscribe" in lines[0]
    assert f"batch at {history.epoch[:8]}/" in lines[1]
    assert lines[2] == f"log  {lost.sequence} {lost.kind} {lost.key}"
    assert lines[3].startswith("was left out")


def test_long_history_is_read_within_seconds() -> None:
    history = World(5).run(4000)
    started = time.monotonic()
    assert check(history) == []
    assert time.monotonic() - started < 5
