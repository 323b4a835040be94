"""What the exchange needs to know of a log: how to read it, and of an entry in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class Entry(Protocol):
    """Something that happened, at its place in a log. `encoded` is a whole field of a batch: tag, length and event."""

    @property
    def sequence(self) -> int: ...

    @property
    def encoded(self) -> bytes: ...


class Selection(Protocol):
    """Which entries somebody wants. `parameters` say it to the queries, and `key` is the same for the same wish."""

    @property
    def key(self) -> bytes: ...

    @property
    def parameters(self) -> tuple[Any, ...]: ...

    def matches(self, entry: Any) -> bool:
        """Whether the entry, one of this selection's log, is wanted."""


class Log(NamedTuple):
    """A log: its queries, the channel on which replicas wake each other, and how a row of `read_events` is read."""

    queries: Mapping[str, str]
    channel: str
    entry_of: Callable[[Sequence[Any]], Entry]
    everything: Selection
