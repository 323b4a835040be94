"""Somebody with psql, who inserts and resolves anomalies in transactions of his own, and rolls some of them back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Final

import asyncpg
from google.protobuf.json_format import MessageToDict

from ai_grpc.v1 import anomalies_pb2
from tests.chaos.bots import a_resolution
from tests.chaos.findings import some_anomalies
from tests.chaos.history import End, Outcome, Publish
from tests.chaos.nouns import sent_of
from tests.chaos.recording import Recording

INSERT: Final = """
INSERT INTO ai_trading.anomaly_detections (
  anomaly_id, model_id, symbol, detection_timestamp, anomaly_type, severity_score, confidence, anomaly_details
) SELECT anomaly_id, model_id, symbol, detection_time, anomaly_type, severity_score, confidence, anomaly_details
FROM jsonb_to_recordset($1::jsonb) AS a (
  anomaly_id UUID, model_id UUID, symbol TEXT, detection_time TIMESTAMPTZ, anomaly_type TEXT,
  severity_score DOUBLE PRECISION, confidence DOUBLE PRECISION, anomaly_details JSONB
)
"""
RESOLVE: Final = """
UPDATE ai_trading.anomaly_detections SET resolved = TRUE, resolution_timestamp = now(), resolution_note = $2
WHERE anomaly_id = $1::text::uuid AND NOT resolved
"""
REPEATABLE: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ"
BEGINNINGS: Final = ("BEGIN", "BEGIN", "BEGIN", REPEATABLE)
ROLLED_BACK: Final = "ROLLED_BACK"
LOST: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
SECONDS: Final = 3.0
LARGEST: Final = 8
SLOWEST: Final = 0.3
TRANSACTIONS: Final = 10


class SqlWriter:
    """One transaction after the other, on any of the lines to the database, and never the same anomaly again."""

    def __init__(
        self, name: str, recording: Recording, urls: Sequence[str], model_ids: Sequence[str], rng: Random
    ) -> None:
        self._name, self._recording, self._urls = name, recording, urls
        self._model_ids, self._rng = model_ids, rng

    async def run(self, stop: asyncio.Event, pause: float) -> None:
        """Writes until it is told to stop."""
        while not stop.is_set():
            try:
                connection = await asyncpg.connect(
                    self._rng.choice(self._urls), timeout=SECONDS, command_timeout=SECONDS
                )
            except LOST:
                await asyncio.sleep(pause)
                continue
            try:
                for _ in range(TRANSACTIONS):
                    await self._transact(connection)
                    await asyncio.sleep(self._rng.expovariate(1 / pause))
            except LOST:
                continue
            finally:
                connection.terminate()

    async def _transact(self, connection: asyncpg.Connection) -> None:
        """One transaction. Raises one of LOST if it fails in any other way than by its own will."""
        rng, beginning = self._rng, self._rng.choice(BEGINNINGS)
        transaction = Transaction(self._name, self._recording, repeatable=beginning is REPEATABLE)
        with transaction.written_down():
            await connection.execute(beginning)
            anomalies = some_anomalies(self._model_ids, rng, rng.randint(1, LARGEST))
            transaction.inserts(anomalies)
            await connection.execute(INSERT, rows_of(anomalies))
            if rng.random() < 0.2:
                await self._undo_a_part(connection)
            await asyncio.sleep(rng.uniform(0, SLOWEST) if rng.random() < 0.3 else 0)
            victims = [anomalies[0].anomaly_id] if rng.random() < 0.2 else []
            if self._recording.recent and rng.random() < 0.3:
                victims.append(rng.choice(self._recording.recent))
            for key in victims:
                state = a_resolution(rng)
                status = await connection.execute(RESOLVE, key, state.partition(" ")[2])
                transaction.resolves(key, state, won=status == "UPDATE 1")
            if rng.random() < 0.25:
                await connection.execute("ROLLBACK")
                transaction.rolled_back()
            else:
                transaction.commits()
                await connection.execute("COMMIT")
                transaction.committed()

    async def _undo_a_part(self, connection: asyncpg.Connection) -> None:
        part = Transaction(f"{self._name}, part", self._recording)
        with part.written_down():
            part.inserts(some_anomalies(self._model_ids, self._rng, 1))
            await connection.execute("SAVEPOINT part")
            await connection.execute(INSERT, rows_of(part.items))
            await connection.execute("ROLLBACK TO SAVEPOINT part")
            part.rolled_back()


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
        self._reason = self._refusal = ROLLED_BACK
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
        except LOST as error:
            self._reason = self._reason or type(error).__name__
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


def rows_of(anomalies: Sequence[anomalies_pb2.Anomaly]) -> str:
    """What INSERT inserts."""
    return json.dumps([MessageToDict(anomaly, preserving_proto_field_name=True) for anomaly in anomalies])
