"""What a fault may lay hands on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import asyncpg

from tests.chaos.children import Child
from tests.chaos.findings import Run, some_anomalies, some_generations
from tests.chaos.fleet import Replica
from tests.chaos.history import History
from tests.chaos.ledgers import EVENTS, SIGNALS, Ledger
from tests.chaos.nouns import ANOMALY, GENERATION, SIGNAL, Noun
from tests.chaos.recording import Recording
from tests.chaos.signals import some_signals
from tests.chaos.subscribers import Subscriber
from tests.cluster import Cluster
from tests.faults.database import administrator


@dataclass(slots=True)
class Arena:
    """The database, the replicas, and the clients that faults stop and slow down; and how many faults there were.

    The history of a log is that of all its nouns.
    """

    cluster: Cluster
    replicas: Sequence[Replica]
    model_ids: Sequence[str]
    runs: Sequence[Run]
    folder: Path
    histories: dict[Ledger, History] = field(init=False)
    recordings: dict[Noun, Recording] = field(init=False)
    victims: Sequence[Subscriber] = ()
    witnesses: Sequence[Subscriber] = ()
    child: Child | None = None
    planned: Counter[str] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    variants: Counter[str] = field(default_factory=Counter)
    active: set[str] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.histories = {SIGNALS: History(), EVENTS: History()}
        self.recordings = {
            noun: Recording(history) for ledger, history in self.histories.items() for noun in ledger.nouns
        }

    @property
    def history(self) -> History:
        """That of the signal log, with all that is not about one log alone."""
        return self.histories[SIGNALS]

    def make(self, noun: Noun) -> Callable[[Random, int], Sequence[Any]]:
        """Makes so many items to be written."""
        makers: dict[Noun, Callable[[Random, int], Sequence[Any]]] = {
            SIGNAL: partial(some_signals, self.model_ids),
            ANOMALY: partial(some_anomalies, self.model_ids),
            GENERATION: partial(some_generations, self.runs),
        }
        return makers[noun]

    @property
    def urls(self) -> list[str]:
        """Where the database is: past the proxies, and through those of the replicas."""
        return [self.cluster.url(), *(replica.url for replica in self.replicas)]

    @property
    def targets(self) -> list[str]:
        """Where clients reach the replicas."""
        return [replica.clients.target for replica in self.replicas]

    def admin(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """A connection of the superuser, past all proxies."""
        return administrator(self.cluster.url())

    async def ask(self, statement: str, database: str = "postgres") -> Any:
        """The first value of what a statement of the superuser gives."""
        async with administrator(self.cluster.url(database)) as admin:
            return await admin.fetchval(statement)

    async def heal(self) -> None:
        """Undoes whatever a fault may have left."""
        for replica in self.replicas:
            replica.set_clock("+0")
            for proxy in (replica.database, replica.tail, replica.clients):
                proxy.heal()
            if replica.process is None or replica.process.returncode is not None:
                await replica.revive()
        for victim in self.victims:
            victim.reads.set()
            victim.habits.pause = 0.0
        if self.child is not None:
            self.child.thaw()
