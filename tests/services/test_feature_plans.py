"""How PostgreSQL finds features among many: by an index, in the partitions that may have them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import pytest

from ai_grpc.db import load_queries
from ai_grpc.records import bound

# In a month that is over: the partition of this one may have next to nothing yet.
LATEST: Final = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
FILL: Final = """
INSERT INTO feature_data (symbol, timestamp, feature_set_name, features, raw_data_hash)
SELECT 'S' || n % 40, $1::timestamptz - n / 40 * interval '1 hour', 'set' || n % 4, '{"a": 1}', repeat('a', 64)
FROM generate_series(1, 40000) AS n
"""
PARTITIONS: Final = """
SELECT format('CREATE TABLE feature_data_past_%s PARTITION OF feature_data FOR VALUES FROM (%L) TO (%L)',
  n, month - n * interval '1 month', month - (n - 1) * interval '1 month')
FROM generate_series(1, 2) AS n, date_trunc('month', now()) AS month
"""
# An empty partition may be scanned.
SCANNED: Final = re.compile(r"Seq Scan on feature_data.* rows=[^0]")
LOOK_UP: Final = {"symbols": ["S1"], "feature_set_names": ["set1"], "as_of": LATEST, "known_by": None, "max_age": None}
READ: Final = {
    "feature_set_name": "set1",
    "start_time": LATEST - timedelta(days=1),
    "end_time": LATEST,
    "after_time": None,
    "after_symbol": "",
    "symbols": [],
    "known_by": None,
    "page_limit": 100,
    "span": timedelta(weeks=4),
}
OF_A_SYMBOL: Final = """
SELECT * FROM feature_data
WHERE symbol = 'S1' AND timestamp > $1::timestamptz - interval '1 day' ORDER BY timestamp DESC
"""
CREATED: Final = "SELECT EXISTS (SELECT FROM feature_data WHERE created_at < now() - interval '1 day')"


async def plan(connection: asyncpg.Connection, sql: str, *arguments: object) -> str:
    """How a query is done, once it has been done."""
    rows = await connection.fetch(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {sql}", *arguments)
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_features_are_found_by_an_index(database: str, mode: str) -> None:
    connection = await asyncpg.connect(database, server_settings={"search_path": "ai_trading"}, timeout=10)
    try:
        for (statement,) in await connection.fetch(PARTITIONS):
            await connection.execute(statement)
        await connection.execute("SELECT make_feature_partitions()")
        await connection.execute(FILL, LATEST)
        await connection.execute("VACUUM ANALYZE feature_data")
        await connection.execute(f"SET plan_cache_mode = {mode}")
        queries = {name: bound(sql) for name, sql in load_queries("features").items()}
        given: dict[str, dict[str, Any]] = {"look_up_features": LOOK_UP, "read_features": READ}
        plans = {
            name: await plan(connection, queries[name][0], *map(given[name].get, queries[name][1])) for name in given
        }
        plans["of a symbol"] = await plan(connection, OF_A_SYMBOL, LATEST)
        for name, index in (
            ("look_up_features", "symbol_feature_set_name_timestamp"),
            ("read_features", "feature_set_name_timestamp_symbol"),
            ("of a symbol", "symbol_timestamp"),
        ):
            assert not SCANNED.search(plans[name]), plans[name]
            assert f"_{index}_" in plans[name], plans[name]
        # Other months are not looked at.
        assert not re.search(r"feature_data_past_2.*rows=", plans["read_features"]), plans["read_features"]
        await connection.execute("SET enable_seqscan = off")
        assert "created_at" in await plan(connection, CREATED)
    finally:
        await connection.close(timeout=10)
