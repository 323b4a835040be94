"""On filled tables every read finds its rows by an index, and every index is there for a read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import asyncpg
import pytest
import pytest_asyncio

from ai_grpc.db import BY_KEY, load_queries
from tests import filling
from tests.conftest import a_database, at
from tests.plans import Plan, Query, connect, plan, queries
from tests.reads import reads

SIZES: Final = {
    "ai_models": 1_000,
    "ai_model_aliases": 1_000,
    "ai_signals": 60_000,
    "signal_log": 60_000,
    "feature_data": 60_000,
    "signal_performance": 30_000,
    "model_performance": 10_000,
    "anomaly_detections": 60_000,
    "spectrum_analysis": 30_000,
    "event_log": 20_000,
    "training_sessions": 10_000,
    "rl_episodes": 20_000,
    "optimization_runs": 10_000,
    "optimization_generations": 20_000,
    "optimization_individuals": 40_000,
}
# One row a model: who asks about all models reads them all.
SMALL: Final = {"ai_models"}
# A page may be chosen from as many rows, and no more be read: a tenth of a table, or its latest.
MOST_SORTED: Final = 1_500
MOST_READ: Final = 6_000

LOG, EVENTS = load_queries("log"), load_queries("events")
NONE: Final = (None, None, None, None)


class Past(NamedTuple):
    """A filled database, and until when."""

    connection: asyncpg.Connection
    end: datetime


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled(postgres: str, template: str) -> AsyncIterator[tuple[str, datetime]]:
    """A database with some tens of thousands of rows in each large table."""
    end = filling.now()
    async with a_database(postgres, template) as name:
        await filling.fill(at(postgres, name), SIZES, end)
        yield at(postgres, name), end


@pytest.fixture
async def past(filled: tuple[str, datetime]) -> AsyncIterator[Past]:
    """A connection to it, as the service has them."""
    connection = await connect(filled[0])
    yield Past(connection, filled[1])
    await connection.close(timeout=10)


async def test_every_read_of_the_service_uses_indexes(past: Past, subtests: pytest.Subtests) -> None:
    for read in reads(past.end):
        with subtests.test(read.title):
            for query in await queries(past.connection, read):
                _check(await plan(past.connection, query))


async def test_a_read_is_planned_for_its_arguments_however_small_the_tables_were(database: str) -> None:
    connection = await connect(database)
    try:
        for read in reads(filling.now()):
            if read.method.endswith(("ListTrainingSessions", "ListOptimizationRuns")):
                [query] = await queries(connection, read)
                for _ in range(10):
                    await connection.fetch(query[0], *query[1])
        plans = "SELECT max(generic_plans) FROM pg_prepared_statements WHERE statement LIKE $1"
        assert await connection.fetchval(plans, "%page_time%") == 0
    finally:
        await connection.close(timeout=10)


async def test_every_query_of_the_specification_uses_indexes(past: Past, subtests: pytest.Subtests) -> None:
    for name, query in _queries(past.end).items():
        with subtests.test(name):
            _check(await plan(past.connection, query))


async def test_every_page_of_a_log_is_read_by_keys(filled: tuple[str, datetime], subtests: pytest.Subtests) -> None:
    connection = await connect(filled[0], BY_KEY)
    try:
        for name, query in _log_queries().items():
            with subtests.test(name):
                _check(await plan(connection, query))
    finally:
        await connection.close(timeout=10)


async def test_every_index_serves_a_query(past: Past) -> None:
    asked = [query for read in reads(past.end) for query in await queries(past.connection, read)]
    used: set[str] = set()
    for query in (*asked, *_queries(past.end).values(), *_log_queries().values()):
        used |= (await plan(past.connection, query)).indexes()
    assert await _indexes(past.connection, used) == []


def _check(made: Plan) -> None:
    assert made.scanned() - SMALL == set(), made.shape()
    assert made.sorted() <= MOST_SORTED, made.shape()
    assert made.read() <= MOST_READ, made.shape()


async def _indexes(connection: asyncpg.Connection, used: set[str]) -> Sequence[str]:
    """The indexes but those used and those of constraints; an index of a partition is used for that of its table."""
    return [
        row["name"]
        for row in await connection.fetch(
            """
            SELECT i.relname AS name
            FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
            LEFT JOIN pg_inherits AS part ON part.inhparent = i.oid
            LEFT JOIN pg_class AS child ON child.oid = part.inhrelid
            WHERE i.relnamespace = 'ai_trading'::regnamespace AND NOT i.relispartition
              AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.oid)
            GROUP BY i.relname
            HAVING NOT bool_or(i.relname = ANY ($1::text[]) OR coalesce(child.relname = ANY ($1), FALSE))
            ORDER BY 1
            """,
            list(used),
        )
    ]


def _queries(end: datetime) -> dict[str, Query]:
    """What users of the specification's schema ask by SQL, and what the upkeep of the service asks."""
    monday = end.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=28 + end.weekday())
    day, model, symbol = end - timedelta(days=1), filling.id_of(7), "SYM7"
    return {
        "the signals of the last day, the most confident first": (
            "SELECT symbol, signal_type, confidence FROM ai_signals WHERE created_at >= $1 ORDER BY confidence DESC",
            (day,),
        ),
        "a signal to make a plan of": (
            "SELECT symbol, price_target FROM ai_signals WHERE signal_id = $1 AND status = 'ACTIVE'",
            (filling.id_of(SIZES["ai_signals"]),),
        ),
        "signals by symbol and time": (
            "SELECT * FROM ai_signals WHERE symbol = $1 ORDER BY signal_timestamp DESC LIMIT 50",
            (symbol,),
        ),
        "the history of a model": (
            "SELECT * FROM ai_signals WHERE model_id = $1 AND signal_timestamp >= $2 ORDER BY signal_timestamp DESC",
            (model, day),
        ),
        "signals by type and confidence": (
            "SELECT * FROM ai_signals WHERE signal_type = 'BUY' AND confidence > 0.99 ORDER BY confidence DESC LIMIT 9",
            (),
        ),
        "how many signals of a model are active": (
            "SELECT count(*) FROM ai_signals WHERE model_id = $1 AND status = 'ACTIVE'",
            (model,),
        ),
        "enriched_ai_signals": (
            "SELECT * FROM enriched_ai_signals WHERE symbol = $1 ORDER BY signal_timestamp DESC LIMIT 50",
            (symbol,),
        ),
        "latest_model_performance": ("SELECT * FROM latest_model_performance WHERE model_id = $1", (model,)),
        "the models of the best Sharpe ratio": (
            "SELECT * FROM model_performance WHERE sharpe_ratio > 1.9 ORDER BY sharpe_ratio DESC LIMIT 20",
            (),
        ),
        "the most severe anomalies": ("SELECT * FROM anomaly_detections ORDER BY severity_score DESC LIMIT 20", ()),
        "the latest anomalies that are open": (
            "SELECT * FROM anomaly_detections WHERE NOT resolved ORDER BY detection_timestamp DESC LIMIT 20",
            (),
        ),
        "all features of a symbol in a range": (
            "SELECT * FROM feature_data WHERE symbol = $1 AND timestamp BETWEEN $2 AND $3 ORDER BY timestamp DESC",
            (symbol, day, end),
        ),
        "whether features of a past week were put lately": (
            "SELECT EXISTS (SELECT FROM feature_data WHERE timestamp >= $1 AND timestamp < $2 AND created_at >= $3)",
            (monday, monday + timedelta(weeks=1), day),
        ),
        "the best episodes of a session": (
            "SELECT * FROM rl_episodes WHERE session_id = $1 ORDER BY total_reward DESC LIMIT 20",
            (model,),
        ),
        "whether a run had the same individual": (
            "SELECT individual_id FROM optimization_individuals WHERE run_id = $1 AND is_new AND fitness_score = 1 "
            "AND jsonb_hash_extended(genes, 0) = jsonb_hash_extended($2::jsonb, 0) LIMIT 1",
            (model, '{"gene": 1}'),
        ),
        "signals past their time": (
            "SELECT signal_id FROM ai_signals WHERE status = 'ACTIVE' AND expires_at IS NOT NULL AND expires_at <= $1 "
            "ORDER BY expires_at, sequence LIMIT 1000",
            (end,),
        ),
        "runs that may be silent": (
            "SELECT run_id FROM optimization_runs WHERE status = 'running' AND heartbeat_at + heartbeat_timeout < $1",
            (end,),
        ),
    }


def _log_queries() -> dict[str, Query]:
    """What the feeds of the logs ask."""
    return {
        "a page of the log": (LOG["read_events"], (30_000, 60_000, *NONE, 0.0, 500)),
        "a page of the log, of a symbol": (LOG["read_events"], (59_000, 60_000, ["SYM7"], *NONE[1:], 0.0, 500)),
        "active signals": (LOG["read_active"], (0, 60_000, *NONE, 0.0, 500)),
        "a page of events": (EVENTS["read_events"], (10_000, 20_000, "ANOMALY", *NONE, None, 500)),
        "open anomalies": (EVENTS["read_active"], (0, 60_000, "ANOMALY", *NONE, None, 500)),
    }
