"""What the views hold, and that they and the lists find it by an index."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest

from ai_grpc.db import load_queries
from ai_grpc.records import bound
from ai_grpc.v1 import models_pb2
from ai_grpc.v1.models_pb2_grpc import ModelServiceStub
from tests.performance import an_evaluation, on_day, performance, record, signals
from tests.signals import an_active_model, an_exchange, execute

QUERIES: Final = load_queries("performance")
MODEL: Final = "00000000-0000-4000-8000-000000000007"
SIGNAL: Final = "00000000-0000-4000-9000-000000000007"

DAY: Final = asyncpg.Range(date(2026, 1, 1), date(2026, 1, 2))

# 100 models with 200 signals each; every other signal has 3 evaluations; 200 performances a model,
# without events.
FILL: Final = """
INSERT INTO ai_models (model_id, model_name, version, model_type, is_active)
SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'm' || n, '1', 'reinforcement_learning', n % 2 = 1
FROM generate_series(0, 99) AS n;
INSERT INTO ai_signals (
  signal_id, model_id, symbol, signal_type, confidence, signal_timestamp, sequence, created_at, updated_at
)
SELECT ('00000000-0000-4000-9000-' || lpad(n::text, 12, '0'))::uuid,
  ('00000000-0000-4000-8000-' || lpad((n % 100)::text, 12, '0'))::uuid, 'S' || n % 50, 'BUY', 0.5,
  '2026-01-01'::timestamptz + n * interval '1 minute', n, now(), now()
FROM generate_series(0, 19999) AS n;
INSERT INTO signal_performance (signal_id, evaluation_timestamp, actual_price, price_change_pct)
SELECT s.signal_id, s.signal_timestamp + e * interval '1 hour', 1, 1
FROM ai_signals AS s, generate_series(1, 3) AS e WHERE s.sequence % 2 = 1;
SET session_replication_role = replica;
INSERT INTO model_performance (
  model_id, evaluation_period, total_signals, evaluated_signals, successful_signals, sharpe_ratio, periods_per_year,
  risk_free
)
SELECT m.model_id, daterange('2026-01-01'::date, '2026-01-02'::date + n), 0, 0, 0, random(), 252, 0
FROM ai_models AS m, generate_series(1, 200) AS n;
SET session_replication_role = origin;
ANALYZE;
"""


@pytest.fixture
async def filled(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the service's role to a database with much in it."""
    owner = await asyncpg.connect(database, server_settings={"search_path": "ai_trading"}, timeout=10)
    await owner.execute(FILL, timeout=60)
    await owner.close(timeout=10)
    settings = {"role": "ai_trading_service", "search_path": "ai_trading", "jit": "off"}
    connection = await asyncpg.connect(database, server_settings=settings, timeout=10)
    yield connection
    await connection.close(timeout=10)


async def test_an_enriched_signal_is_one_row_with_its_model_and_latest_evaluation(database: str) -> None:
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel, model_name="trend", version="7")
        thrice, never = await signals(channel, model_id, {}, {})
        evaluations = [an_evaluation(thrice, evaluation_time=on_day(day), price_change_pct=day) for day in (1, 3, 2)]
        await record(channel, *evaluations)
    rows = await execute(database, "SELECT * FROM enriched_ai_signals")
    assert {str(row["signal_id"]): (row["price_change_pct"], row["performance_id"]) for row in rows} == {
        thrice: (3, UUID(evaluations[1].performance_id)),
        never: (None, None),
    }
    assert len(rows) == 2
    assert {(str(row["model_id"]), row["model_name"], row["model_version"]) for row in rows} == {
        (model_id, "trend", "7")
    }


async def test_an_enriched_signal_has_all_that_the_tables_say(database: str) -> None:
    columns = "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0"
    names = {
        table: {row["attname"] for row in await execute(database, columns, f"ai_trading.{table}")}
        for table in ("enriched_ai_signals", "ai_signals", "signal_performance")
    }
    own = {"sequence", "end_sequence", "state_request_id", "updated_at", "message"}
    assert names["enriched_ai_signals"] >= (names["ai_signals"] - own) | names["signal_performance"]


async def test_the_latest_performance_is_one_row_for_each_active_model(database: str) -> None:
    async with an_exchange(database) as channel:
        models = [await an_active_model(channel) for _ in range(3)]
        made = [[await performance(channel, model_id) for model_id in models[:2]] for _ in range(3)]
        off = models_pb2.SetModelActiveRequest(model_id=models[1], active=False)
        await ModelServiceStub(channel).SetModelActive(off)
    rows = await execute(database, "SELECT model_id::text, performance_id::text FROM latest_model_performance")
    assert [tuple(row) for row in rows] == [(models[0], made[-1][0].performance_id)]


async def test_each_shape_of_query_uses_its_index(filled: asyncpg.Connection, subtests: pytest.Subtests) -> None:
    nothing = {
        "page_time": None,
        "page_id": None,
        "signal_id": "",
        "model_id": "",
        "start_time": None,
        "end_time": None,
    }
    for query, arguments, index in (
        ("list_evaluations", {}, "idx_signal_performance_time"),
        ("list_evaluations", {"signal_id": SIGNAL}, "idx_signal_performance_signal_time"),
        ("list_evaluations", {"model_id": MODEL}, "idx_signal_performance_model_time"),
        ("get_model_performance_history", {"model_id": MODEL}, "idx_model_performance_model_time"),
        (
            "get_model_performance_history",
            {"model_id": MODEL, "evaluation_period": DAY},
            "idx_model_performance_model_period",
        ),
        ("get_latest_model_performance", {}, "idx_model_performance_model_time"),
        (
            "get_calibration",
            {"model_id": MODEL, "evaluation_period": DAY, "bucket_count": 10},
            "idx_signal_performance_model_time",
        ),
    ):
        with subtests.test(query, index=index):
            sql, names = bound(QUERIES[query])
            given = {"page_limit": 51, "evaluation_period": None, **nothing, **arguments}
            assert_indexed(await plan(filled, sql, *(given[name] for name in names)), index)
    for sql, index in (
        (f"SELECT * FROM enriched_ai_signals WHERE signal_id = '{SIGNAL}'", "idx_signal_performance_signal_time"),
        (
            "SELECT * FROM enriched_ai_signals WHERE symbol = 'S1' ORDER BY signal_timestamp DESC LIMIT 50",
            "idx_ai_signals_symbol_time",
        ),
        ("SELECT * FROM latest_model_performance", "idx_model_performance_model_time"),
        (
            "SELECT * FROM model_performance WHERE sharpe_ratio > 0.9 ORDER BY sharpe_ratio DESC LIMIT 10",
            "idx_model_performance_sharpe",
        ),
    ):
        with subtests.test(sql, index=index):
            assert_indexed(await plan(filled, sql), index)


async def plan(connection: asyncpg.Connection, sql: str, *arguments: object) -> dict[str, Any]:
    """How PostgreSQL runs a query."""
    text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *arguments, timeout=10)
    found: dict[str, Any] = json.loads(text)[0]["Plan"]
    return found


def assert_indexed(node: dict[str, Any], index: str) -> None:
    """The plan uses the index, and reads no table from end to end but that of the models, which is small."""
    nodes = list(nodes_of(node))
    assert index in {each.get("Index Name") for each in nodes}, json.dumps(node, indent=1)
    scanned = {each["Relation Name"] for each in nodes if each["Node Type"] == "Seq Scan"}
    assert scanned <= {"ai_models"}, json.dumps(node, indent=1)


def nodes_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for inner in node.get("Plans", []):
        yield from nodes_of(inner)
