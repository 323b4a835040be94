"""Reads a history and says which promise it breaks, by the shortest part of it that shows so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from tests.chaos import invariants_bounds as bounds
from tests.chaos import invariants_log as log
from tests.chaos import invariants_order as order
from tests.chaos import invariants_publishing as publishing
from tests.chaos import invariants_snapshot as snapshot
from tests.chaos import invariants_streams as streams
from tests.chaos.evidence import Evidence
from tests.chaos.history import History

MOST: Final = 3


@dataclass(frozen=True, slots=True)
class Invariant:
    """A promise, and the search for where a history breaks it."""

    promise: str
    breaches: Callable[[Evidence], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken; `text` is the shortest history that shows it, an operation or message a line."""

    invariant: str
    text: str

    def __str__(self) -> str:
        lines = self.text.replace("\n", "\n  ")
        return f"{self.invariant}: {INVARIANTS[self.invariant].promise}\n  {lines}"


INVARIANTS: Final[Mapping[str, Invariant]] = {
    "I1": Invariant(
        "What was acknowledged is in its table and its log, where the answer said.",
        publishing.acknowledged_is_durable,
    ),
    "I2": Invariant(
        "Nothing is stored, logged or delivered that nobody sent just so.",
        publishing.nothing_is_invented,
    ),
    "I3": Invariant("A sequence names one event, whoever looks.", log.one_event_per_sequence),
    "I4": Invariant("What was written has one sequence, and no answer names another.", log.one_sequence_per_signal),
    "I5": Invariant("A log has no hole between its floor and its head, and all that its tables hold.", log.dense_log),
    "I6": Invariant("What was known before something was asked for comes before it.", order.real_time_order),
    "I7": Invariant("A stream goes up, and repeats nothing.", streams.ordered_and_unique),
    "I8": Invariant("A stream holds every wanted event up to its position, and no other.", streams.complete),
    "I9": Invariant("Over all reconnects every event comes once.", streams.exactly_once_over_reconnects),
    "I10": Invariant("A position is final: no event at or below it comes later.", streams.positions_hold),
    "I11": Invariant("Of a request all is written, next to each other, or nothing.", publishing.atomic_requests),
    "I12": Invariant("A position that cannot be served is refused by its name.", bounds.positions_are_refused_by_name),
    "I13": Invariant("Once all is well, everybody is served and up to date in time.", bounds.within_bounds("I13")),
    "I14": Invariant("Who does not read costs nobody else anything.", bounds.within_bounds("I14")),
    "I15": Invariant("Clients that come and go leave nothing behind.", bounds.within_bounds("I15")),
    "I16": Invariant("A server that stops says so, answers, and is gone in time.", bounds.drains_are_orderly),
    "I17": Invariant("Others' transactions slow nobody down.", bounds.within_bounds("I17")),
    "I18": Invariant("A signal or anomaly ends at most once, and only its winner is told so.", log.at_most_one_end),
    "I19": Invariant("A call is refused for a cause that it gave, never by a fault.", publishing.refused_for_a_cause),
    "I20": Invariant("`current` begins with exactly what is active or open.", snapshot.active_signals_first),
}


def check(history: History) -> list[Violation]:
    """What the history breaks, at most MOST times each."""
    evidence = Evidence(history)
    return [
        Violation(name, text)
        for name, invariant in INVARIANTS.items()
        for text in islice(invariant.breaches(evidence), MOST)
    ]
