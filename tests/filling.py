"""A past made up by SQL: rows of each table in plausible proportions, spread over the time until `end`.

The n-th row of a table has the id `id_of(n)`; the models of signals are those from 1 to MODELS, symbols SYM0 to SYM96.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg

MODELS: Final = 50
SYMBOLS: Final = 97
SETS: Final = ("technical_indicators", "fourier_coefficients", "order_flow")
SIGNAL_DAYS: Final = 180
FEATURE_DAYS: Final = 84

# The rows that are referred to are there: nobody needs to look for them a million times. And no row is an event.
TRUSTING: Final = {"session_replication_role": "replica", "search_path": "ai_trading", "timezone": "UTC"}

_ID: Final = "('00000000-0000-7000-8000-' || lpad(to_hex({}), 12, '0'))::uuid"
_MODEL: Final = _ID.format(f"1 + n % {MODELS}")
_SYMBOL: Final = f"'SYM' || n % {SYMBOLS}"
# A number from 0 to 1 that has nothing to do with what else depends on n.
_CHANCE: Final = "(n * 7919 % 10007) / 10007.0"
_AGO: Final = "($4::timestamptz - ($3::bigint - n) * (INTERVAL '{} days' / $3))"
_ROWS: Final = "FROM generate_series($1::bigint, $2::bigint) AS n, LATERAL (SELECT {} AS time) AS made"

# $1 to $2 are the numbers of the rows, $3 is how many there are to be, $4 the end. Those with a fifth parameter are
# about another table, of which there are $5.
TABLES: Final[dict[str, str]] = {
    "ai_models": f"""
INSERT INTO ai_models (model_id, model_name, version, model_type, is_active, created_at)
SELECT {_ID.format("n")}, 'past ' || n, '1', 'sparse_spectrum', n % 10 <> 0, time {_ROWS.format(_AGO.format(400))}""",
    "ai_model_aliases": f"""
INSERT INTO ai_model_aliases (model_name, alias, model_id, created_at)
SELECT 'past ' || n, 'champion', {_ID.format("n")}, time {_ROWS.format(_AGO.format(400))}""",
    "ai_signals": f"""
INSERT INTO ai_signals (
  signal_id, model_id, symbol, signal_type, confidence, price_target, stop_loss, take_profit, reference_price,
  signal_timestamp, market_data_timestamp, expires_at, metadata, message, status, sequence, end_sequence, created_at,
  updated_at
)
SELECT
  {_ID.format("n")}, {_MODEL}, {_SYMBOL}, (ARRAY['BUY', 'SELL', 'HOLD'])[1 + n % 3], {_CHANCE}, 1.2345, 1.2, 1.3, 1.22,
  time, time, time + INTERVAL '30 days', '{{"rsi": 31, "generation": 12}}', decode(repeat('00', 190), 'hex'),
  CASE WHEN n > $3 / 250 * 249 THEN 'ACTIVE' WHEN n % 101 = 0 THEN 'CANCELLED' WHEN n % 7 < 3 THEN 'EXECUTED'
    ELSE 'EXPIRED' END,
  n, CASE WHEN n <= $3 / 250 * 249 THEN $3 + n END, time, time
{_ROWS.format(_AGO.format(SIGNAL_DAYS))}""",
    "signal_log": f"""
INSERT INTO signal_log (sequence, signal_id, kind, commit_time)
SELECT n, {_ID.format("n")}, 'PUBLISHED', time {_ROWS.format(_AGO.format(SIGNAL_DAYS))}""",
    "feature_data": f"""
INSERT INTO feature_data (
  feature_id, symbol, timestamp, feature_set_name, features, raw_data_hash, extraction_method, created_at
)
SELECT
  {_ID.format("n")}, {_SYMBOL}, time, (ARRAY{list(SETS)})[1 + n % {len(SETS)}],
  jsonb_build_object('sma_20', 150.25, 'rsi_14', n % 100, 'bollinger_upper', 155.0, 'volume_ratio', 1.25),
  md5(n::text) || md5(n::text), 'rolling', time + INTERVAL '1 second'
{_ROWS.format(_AGO.format(FEATURE_DAYS))}""",
    "signal_performance": f"""
INSERT INTO signal_performance (
  performance_id, signal_id, model_id, evaluation_timestamp, actual_price, price_change_pct, target_hit, stop_loss_hit,
  holding_period_hours, pnl_if_executed, created_at
)
SELECT
  {_ID.format("n")}, {_ID.format("signal")}, {_ID.format(f"1 + signal % {MODELS}")}, time, 1.25,
  4 * {_CHANCE} - 1.9, n % 3 = 0, n % 5 = 0, 1 + n % 48, round(4 * {_CHANCE} - 1.9, 2), time
{_ROWS.format(_AGO.format(SIGNAL_DAYS))},
  LATERAL (SELECT greatest(1, n * $5::bigint / $3 - n * 7919 % 11) AS signal) AS s""",
    "model_performance": f"""
INSERT INTO model_performance (
  performance_id, model_id, evaluation_period, total_signals, evaluated_signals, successful_signals, signal_accuracy,
  sharpe_ratio, periods_per_year, risk_free, created_at
)
SELECT
  {_ID.format("n")}, {_ID.format("1 + n % $5::bigint")}, daterange(time::date, time::date + 30), 100, 100, 50, 0.5,
  4 * {_CHANCE} - 2, 252, 0, time
{_ROWS.format(_AGO.format(SIGNAL_DAYS))}""",
    "anomaly_detections": f"""
INSERT INTO anomaly_detections (
  anomaly_id, model_id, symbol, detection_timestamp, anomaly_type, severity_score, confidence, anomaly_details,
  resolved, resolution_timestamp, sequence, created_at
)
SELECT
  {_ID.format("n")}, {_MODEL}, {_SYMBOL}, time, (ARRAY['price_jump', 'volume_spike', 'pattern_break'])[1 + n % 3],
  4 + 10 * ({_CHANCE}) ^ 4, 0.9, '{{"sigma": 4.2}}', n % 53 <> 0, CASE WHEN n % 53 <> 0 THEN time END, n, time
{_ROWS.format(_AGO.format(SIGNAL_DAYS))}""",
    "spectrum_analysis": f"""
INSERT INTO spectrum_analysis (
  analysis_id, model_id, symbol, analysis_timestamp, analysis_type, pattern_detected, created_at
)
SELECT
  {_ID.format("n")}, {_MODEL}, {_SYMBOL}, time, (ARRAY['fourier', 'wavelet', 'compressed_sensing'])[1 + n % 3],
  CASE WHEN n % 53 = 0 THEN 'weekly cycle' ELSE '' END, time
{_ROWS.format(_AGO.format(SIGNAL_DAYS))}""",
    "event_log": f"""
INSERT INTO event_log (sequence, topic, kind, commit_time, content)
SELECT
  n, 'ANOMALY', 'REPORTED', time, jsonb_build_object('symbol', {_SYMBOL}, 'model_id', {_MODEL}, 'severity_score', 4.5)
{_ROWS.format(_AGO.format(SIGNAL_DAYS))}""",
    "training_sessions": f"""
INSERT INTO training_sessions (
  session_id, model_id, session_name, start_time, end_time, status, heartbeat_timeout, training_metrics
)
SELECT
  {_ID.format("n")}, {_MODEL}, 'past', time, CASE WHEN n % 200 <> 0 THEN time + INTERVAL '1 hour' END,
  CASE WHEN n % 200 <> 0 THEN 'completed' ELSE 'running' END, INTERVAL '7 days', '{{"loss_values": [0.05, 0.04]}}'
{_ROWS.format(_AGO.format(SIGNAL_DAYS))}""",
    "rl_episodes": f"""
INSERT INTO rl_episodes (session_id, episode_number, total_reward, episode_length, actions_taken, rewards, created_at)
SELECT
  {_ID.format("1 + n % $5::bigint")}, 1 + n / $5, {_CHANCE}, 3, '[1, 0, 2]', '[0.1, 0.2, 0.3]', time
{_ROWS.format(_AGO.format(SIGNAL_DAYS))}""",
    "optimization_runs": f"""
INSERT INTO optimization_runs (
  run_id, model_id, optimization_type, objective_function, start_time, end_time, status, heartbeat_timeout
)
SELECT
  {_ID.format("n")}, {_MODEL}, 'parameter_optimization', 'sharpe_ratio', time,
  CASE WHEN n % 200 <> 0 THEN time + INTERVAL '1 hour' END,
  CASE WHEN n % 200 <> 0 THEN 'completed' ELSE 'running' END, INTERVAL '7 days'
{_ROWS.format(_AGO.format(SIGNAL_DAYS))}""",
    "optimization_generations": f"""
INSERT INTO optimization_generations (run_id, generation, best_fitness, individual_count, content_hash, created_at)
SELECT {_ID.format("1 + n % $5::bigint")}, n / $5, {_CHANCE}, 20, '', time
{_ROWS.format(_AGO.format(SIGNAL_DAYS))}""",
    "optimization_individuals": f"""
INSERT INTO optimization_individuals (
  individual_id, run_id, generation, individual_rank, genes, fitness_score, is_new, created_at
)
SELECT
  {_ID.format("n")}, {_ID.format("1 + n % $5::bigint")}, n / $5 / 20, 1 + n / $5 % 20, '{{"sma_short": 12}}', {_CHANCE},
  n % 7 <> 0, time
{_ROWS.format(_AGO.format(SIGNAL_DAYS))}""",
}
ABOUT: Final = {
    "signal_performance": "ai_signals",
    "model_performance": "ai_models",
    "rl_episodes": "training_sessions",
    "optimization_generations": "optimization_runs",
    "optimization_individuals": "optimization_runs",
}


def id_of(number: int) -> str:
    """The id of a row."""
    return f"00000000-0000-7000-8000-{number:012x}"


def now() -> datetime:
    """A time to end with."""
    return datetime.now(UTC)


async def make_feature_partitions(connection: asyncpg.Connection, end: datetime) -> None:
    """The partitions that the service would have made in the months of the features."""
    await connection.fetchval("SELECT make_feature_partitions()")
    last = end.date().replace(day=1)
    while last > (end - timedelta(days=FEATURE_DAYS)).date():
        first = (last - timedelta(days=1)).replace(day=1)
        await connection.execute(
            f"CREATE TABLE feature_data_{first:%Y_%m} PARTITION OF feature_data "
            f"FOR VALUES FROM ('{first} 00:00Z') TO ('{last} 00:00Z')"
        )
        last = first


def statements(
    table: str, sizes: Mapping[str, int], end: datetime, parts: int = 1
) -> Iterator[tuple[str, tuple[object, ...]]]:
    """The statements that fill a table, each with its arguments, in parts that may run side by side."""
    size = sizes[table]
    about = (sizes[ABOUT[table]],) if table in ABOUT else ()
    for part in range(parts):
        yield TABLES[table], (size * part // parts + 1, size * (part + 1) // parts, size, end, *about)


async def fill(database: str, sizes: Mapping[str, int], end: datetime) -> None:
    """Fills the empty tables of a migrated database, and lets the planner know."""
    connection = await asyncpg.connect(database, server_settings=TRUSTING)
    try:
        await make_feature_partitions(connection, end)
        for table in sizes:
            for statement, arguments in statements(table, sizes, end):
                await connection.execute(statement, *arguments)
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()
