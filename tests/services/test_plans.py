"""How PostgreSQL reads lists from tables that are full: by the index that was made for it."""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

import asyncpg
import pytest

from ai_grpc.db import load_queries
from ai_grpc.records import bound
from tests.signals import an_active_model, an_exchange

# Without the triggers, which would log each row.
FILL_ANOMALIES: Final = """
INSERT INTO anomaly_detections (
  model_id, symbol, detection_timestamp, anomaly_type, severity_score, resolved, resolution_timestamp, sequence
)
SELECT
  CASE WHEN n % 1000 = 0 THEN $1::uuid ELSE $2::uuid END, 'S' || n % 100,
  TIMESTAMPTZ '2025-01-01Z' + n * INTERVAL '1 minute', 'price_jump', n % 5000 / 100.0, n % 20 > 0, NULL, n
FROM generate_series(1, 50000) AS n
"""

FILL_SPECTRA: Final = """
INSERT INTO spectrum_analysis (
  analysis_id, model_id, symbol, analysis_timestamp, analysis_type, pattern_detected
)
SELECT
  gen_random_uuid(), CASE WHEN n % 1000 = 0 THEN $1::uuid ELSE $2::uuid END, 'S' || n % 100,
  TIMESTAMPTZ '2025-01-01Z' + n * INTERVAL '1 minute', CASE WHEN n % 1000 = 0 THEN 'wavelet' ELSE 'fourier' END,
  CASE WHEN n % 1000 = 0 THEN 'cycle' ELSE '' END
FROM generate_series(1, 50000) AS n
"""

ANOMALIES: Final[list[tuple[Any, ...]]] = [
    ({}, "time"),
    ({"symbols": ["S7"]}, "symbol_time"),
    ({"symbols": ["S7", "S8"]}, "time"),
    ({"symbols": ["S7"], "min_severity": 1.0, "open_only": False}, "symbol_time"),
    ({"model_ids": ["rare"]}, "model_time"),
    ({"min_severity": 49.99}, "severity", "Sort"),
    ({"open_only": True}, "unresolved"),
    ({"open_only": True, "min_severity": 3.0}, "unresolved"),
]

SPECTRA: Final[list[tuple[Any, ...]]] = [
    ({}, "time"),
    ({"symbol": "S7"}, "symbol_time"),
    ({"analysis_type": "wavelet"}, "type_time"),
    ({"pattern_detected": "cycle"}, "pattern_time"),
    ({"model_id": "rare"}, "model_time"),
]

NOTHING: Final[dict[str, Any]] = {
    "page_limit": 51,
    "symbols": [],
    "model_ids": [],
    "anomaly_type": "",
    "min_severity": 0.0,
    "open_only": False,
    "symbol": "",
    "analysis_type": "",
    "pattern_detected": "",
    "model_id": "",
}


@pytest.mark.parametrize(
    ("fill", "stem", "query", "table", "selections"),
    [
        (FILL_ANOMALIES, "anomalies", "list_anomalies", "anomaly_detections", ANOMALIES),
        (FILL_SPECTRA, "spectra", "list_spectrum_analyses", "spectrum_analysis", SPECTRA),
    ],
)
async def test_a_list_is_read_by_the_index_of_what_it_selects(
    database: str, subtests: pytest.Subtests, fill: str, stem: str, query: str, table: str, selections: list[Any]
) -> None:
    connection, rare = await filled(database, fill, table)
    sql, names = bound(load_queries(stem)[query])
    await connection.execute(f"PREPARE query AS {sql}")
    for selection, index, *more in selections:
        with subtests.test(str(selection)):
            given = {name: [rare] if value == ["rare"] else value for name, value in selection.items()}
            given = {name: rare if value == "rare" else value for name, value in given.items()}
            arguments = ", ".join(literal({**NOTHING, **given}.get(name)) for name in names)
            # Often enough for PostgreSQL to choose between a plan for these arguments and one for all.
            for _ in range(8):
                plan = await explained(connection, f"EXECUTE query ({arguments})")
            assert scans(plan) == {f"idx_{table}_{index}", *more}
    await connection.close()


async def test_what_is_open_is_read_by_its_place_in_the_log(database: str) -> None:
    connection, _ = await filled(database, FILL_ANOMALIES, "anomaly_detections")
    # As on the connections of the service that replay.
    await connection.execute("SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off")
    await connection.execute(f"PREPARE query AS {load_queries('events')['read_active']}")
    plan = await explained(connection, "EXECUTE query (0, 50000, 'ANOMALY', NULL, NULL, NULL, NULL, NULL, 1000)")
    assert scans(plan) == {"idx_anomaly_detections_current", "event_log_pkey"}
    await connection.close()


async def filled(database: str, fill: str, table: str) -> tuple[asyncpg.Connection, str]:
    """A connection to a full table, and the id of the model that has one row of a thousand."""
    async with an_exchange(database) as channel:
        models = [await an_active_model(channel) for _ in range(2)]
    connection = await asyncpg.connect(database, timeout=10, server_settings={"search_path": "ai_trading"})
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(fill, *(uuid.UUID(model) for model in models))
    await connection.execute(f"ANALYZE {table}")
    return connection, models[0]


async def explained(connection: asyncpg.Connection, statement: str) -> dict[str, Any]:
    """The plan of a statement."""
    [plan] = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}"))
    return dict(plan["Plan"])


def literal(value: object) -> str:
    """A value as SQL has it."""
    match value:
        case None:
            return "NULL"
        case list():
            return f"'{{{','.join(map(str, value))}}}'"
        case _:
            return f"'{value}'"


def scans(plan: dict[str, Any]) -> set[str]:
    """What the plan scans, indexes by their names, and whole tables; and whether it sorts."""
    own = {plan["Index Name"]} if "Index Name" in plan else set()
    if plan["Node Type"] == "Seq Scan":
        own = {plan["Relation Name"]}
    if "Sort" in plan["Node Type"]:
        own = {"Sort"}
    return own.union(*(scans(inner) for inner in plan.get("Plans", [])))
