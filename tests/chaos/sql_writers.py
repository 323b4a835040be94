"""Somebody with psql, who inserts and resolves anomalies in transactions of his own, and rolls some of them back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Final

import asyncpg
from google.protobuf.json_format import MessageToDict

from ai_grpc.v1 import anomalies_pb2
from tests.chaos.bots import a_resolution
from tests.chaos.findings import some_anomalies
from tests.chaos.recording import Recording
from tests.chaos.transactions import Transaction

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
            with suppress(*LOST):
                await self._write(stop, pause)
            await asyncio.sleep(pause)

    async def _write(self, stop: asyncio.Event, pause: float) -> None:
        """Some transactions on one connection. Raises one of LOST."""
        url = self._rng.choice(self._urls)
        connection = await asyncpg.connect(url, timeout=SECONDS, command_timeout=SECONDS)
        try:
            for _ in range(TRANSACTIONS):
                if stop.is_set():
                    return
                await self._transact(connection)
                await asyncio.sleep(self._rng.expovariate(1 / pause))
        finally:
            connection.terminate()

    async def _transact(self, connection: asyncpg.Connection) -> None:
        """One transaction. Raises one of LOST if it fails in any other way than by its own will."""
        rng, beginning = self._rng, self._rng.choice(BEGINNINGS)
        anomalies = some_anomalies(self._model_ids, rng, rng.randint(1, LARGEST))
        victims = [anomalies[0].anomaly_id] if rng.random() < 0.2 else []
        # What is known before it begins is there for its snapshot.
        if self._recording.recent and rng.random() < 0.3:
            victims.append(rng.choice(self._recording.recent))
        transaction = Transaction(self._name, self._recording, repeatable=beginning is REPEATABLE)
        with transaction.written_down():
            await connection.execute(beginning)
            transaction.inserts(anomalies)
            await connection.execute(INSERT, rows_of(anomalies))
            if rng.random() < 0.2:
                await self._undo_a_part(connection)
            await asyncio.sleep(rng.uniform(0, SLOWEST) if rng.random() < 0.3 else 0)
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


def rows_of(anomalies: Sequence[anomalies_pb2.Anomaly]) -> str:
    """What INSERT inserts."""
    return json.dumps([MessageToDict(anomaly, preserving_proto_field_name=True) for anomaly in anomalies])
