"""A replica's part in one log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import asyncpg

from ai_grpc.db import Line
from ai_grpc.exchange.entries import Entry, Log
from ai_grpc.exchange.feed import Feed
from ai_grpc.exchange.log import LogReader
from ai_grpc.exchange.notifier import Notifier
from ai_grpc.exchange.tail import Tail

# Later than any head, and so news to everybody.
ANY: Final = 2**63 - 1


class Follower:
    """The feed of a log, and the loops that bring every entry to it and wake the other replicas.

    `tail_line` is to the primary, and listens; `pool` serves replays. `on_database` as for Tail.
    """

    def __init__(
        self,
        log: Log,
        pool: asyncpg.Pool,
        tail_line: Line,
        notify_line: Line,
        on_database: Callable[[bool], None] = lambda up: None,
        *,
        ring_events: int,
        ring_bytes: int,
        lifetime: float,
        poll_interval: float,
    ) -> None:
        self.reader = LogReader(log, pool)
        self.feed = Feed(self.reader, ring_events=ring_events, ring_bytes=ring_bytes, lifetime=lifetime)
        self.tail = Tail(log, tail_line, self.feed, on_database, poll_interval=poll_interval)
        self.notifier = Notifier(log, notify_line)

    def offer(self, entries: Sequence[Entry]) -> None:
        """Takes what this process has committed."""
        self.tail.offer(entries)
        self._tell(entries[-1].sequence)

    def changed(self, head: int | None = None) -> None:
        """This process has committed something; the head is now this, if it was told."""
        self.tail.wake()
        self._tell(ANY if head is None else head)

    def _tell(self, head: int) -> None:
        if not self.tail.alone:
            self.notifier.wake(head)
