"""A transaction of somebody with psql, as he knows it: what it did, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import asyncpg

from ai_grpc.db import UNAVAILABLE
from ai_grpc.v1 import anomalies_pb2
from tests.chaos.history import End, Outcome, Publish
from tests.chaos.nouns import sent_of
from tests.chaos.recording import Recording


class Transaction:
    """What one transaction did, and what is known of how it ended."""

    def __init__(self, name: str, recording: Recording, *, repeatable: bool = False) -> None:
        self._name, self._recording, self._repeatable = name, recording, repeatable
        self._invoked = time.monotonic()
        self._outcome, self._reason, self._refusal = Outcome.FAIL, "DATABASE_UNAVAILABLE", ""
        self._ends: list[tuple[str, str, bool]] = []
        self.items: Sequence[anomalies_pb2.Anomaly] = ()

    def inserts(self, items: Sequence[anomalies_pb2.Anomaly]) -> None:
        """These anomalies."""
        self.items = items
        for item in items:
            self._recording.sent[item.anomaly_id] = self._invoked

    def resolves(self, key: str, state: str, *, won: bool) -> None:
        """This anomaly, unless it was resolved before."""
        self._ends.append((key, state, won))

    def rolled_back(self) -> None:
        """Nothing of it may remain."""
        self._reason = self._refusal = "ROLLED_BACK"
        self._ends.clear()

    def commits(self) -> None:
        """From now on it may be committed."""
        self._outcome, self._reason = Outcome.UNKNOWN, ""

    def committed(self) -> None:
        """All of it is there."""
        self._outcome = Outcome.OK

    @contextmanager
    def written_down(self) -> Iterator[None]:
        """Writes it down, however it ends."""
        try:
            yield
        except asyncpg.TransactionRollbackError as error:
            expected = self._repeatable and isinstance(error, asyncpg.SerializationError)
            self._outcome, self._reason = Outcome.FAIL, "SERIALIZATION_FAILURE" if expected else "ABORTED"
            raise
        except UNAVAILABLE as error:
            self._reason = self._reason or type(error).__name__
            raise
        except asyncpg.PostgresError as error:
            self._outcome, self._reason = Outcome.FAIL, type(error).__name__
            raise
        finally:
            self._write_down()

    def _write_down(self) -> None:
        ended, zeros = time.monotonic(), (0,) * len(self.items)
        known = zeros if self._outcome is Outcome.OK else ()
        self._recording.published(
            Publish(
                self._name,
                "sql",
                self._invoked,
                ended,
                self._outcome,
                sent_of(self.items),
                known,
                tuple(map(bool, known)),
                self._reason,
                self._refusal,
            )
        )
        for key, state, won in self._ends:
            outcome, reason = (self._outcome, self._reason) if won else (Outcome.FAIL, "ANOMALY_RESOLVED")
            self._recording.ended(End(self._name, "sql", self._invoked, ended, outcome, key, state, reason=reason))
