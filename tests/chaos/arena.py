"""What a fault may lay hands on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from tests.chaos.children import Child
from tests.chaos.fleet import Replica
from tests.chaos.recording import Recording
from tests.chaos.subscribers import Subscriber
from tests.cluster import Cluster
from tests.faults.database import administrator


@dataclass(slots=True)
class Arena:
    """The database, the replicas, and the clients that faults stop and slow down; and how many faults there were."""

    cluster: Cluster
    replicas: Sequence[Replica]
    recording: Recording
    model_ids: Sequence[str]
    folder: Path
    victims: Sequence[Subscriber] = ()
    witnesses: Sequence[Subscriber] = ()
    child: Child | None = None
    planned: Counter[str] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    variants: Counter[str] = field(default_factory=Counter)
    active: set[str] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)

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
