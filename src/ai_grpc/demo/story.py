"""What happens in a demonstration, as its conductor hears it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ai_grpc.demo.check import Logged
from ai_grpc.demo.journal import Entered
from ai_grpc.demo.judgment import Judgment
from ai_grpc.demo.prices import MARKETS

Message = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """How large the demonstration is. `pace` is the time between two signals, in seconds."""

    seed: int
    population: int
    generations: int
    pace: float


@dataclass(frozen=True)
class Outage:
    """Where the kill hit: the last sequence written down, and how many signals were not known to be executed."""

    after: int
    pending: int

    @classmethod
    def of(cls, journal: list[Entered]) -> Outage:
        """What the journal of a killed bot says."""
        kinds = [entered.kind for entered in journal]
        return cls(journal[-1].sequence, kinds.count("PUBLISHED") - kinds.count("EXECUTED"))


@dataclass
class Story:
    """The facts, as far as they are known."""

    generations: dict[str, list[Message]] = field(default_factory=lambda: {symbol: [] for symbol in MARKETS})
    version: str = ""
    model_ids: dict[str, str] = field(default_factory=dict)
    studies: dict[str, Message] = field(default_factory=dict)
    genes: dict[str, Message] = field(default_factory=dict)
    signals: int = 0
    acknowledged: list[Message] = field(default_factory=list)
    outage: Outage | None = None
    accounts: dict[str, Message] = field(default_factory=dict)
    judgments: dict[str, Judgment] = field(default_factory=dict)
    answer: list[Message] = field(default_factory=list)
    journal: list[Entered] = field(default_factory=list)
    logged: Logged | None = None
    faults: list[str] = field(default_factory=list)
    seconds: float = 0

    def signal_ids(self) -> dict[str, list[str]]:
        """The acknowledged signals of each symbol that has any."""
        ids: dict[str, list[str]] = {}
        for one in self.acknowledged:
            ids.setdefault(one["symbol"], []).append(one["signal_id"])
        return {symbol: ids[symbol] for symbol in self.model_ids if symbol in ids}
