"""What a run found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.fuzz.inputs import Input


@dataclass(frozen=True, slots=True)
class Finding:
    """A property that does not hold, and the input that shows it if it is known."""

    text: str
    sent: Input | None = None
    number: int | None = None


@dataclass(slots=True)
class Result:
    """What a run was."""

    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
