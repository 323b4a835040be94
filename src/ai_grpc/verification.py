"""What the service needs of a database, looked at one by one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

import asyncpg

from ai_grpc import migrations
from ai_grpc.settings import Settings

VERSIONS: Final = range(15, 19)
LINES: Final = ("append", "tail", "notify", "topics", "topics notify", "sweep", "upkeep")
FUNCTIONS: Final = [
    "append_signals",
    "append_training_metrics",
    "cleanup_old_feature_data",
    "end_signal",
    "event_log_head",
    "expire_signals",
    "fail_silent_runs",
    "fail_silent_sessions",
    "make_feature_partitions",
    "record_generation",
    "signal_log_head",
    "signal_log_position",
    "update_model_performance",
]
PROTECTED: Final = ["ai_signals", "event_log", "event_log_meta", "log_meta", "signal_log"]

RIGHTS: Final = """
WITH things AS (
  SELECT proname::TEXT AS name, has_function_privilege($1, oid, 'EXECUTE') AS usable, FALSE AS writable
  FROM pg_proc WHERE pronamespace = 'ai_trading'::regnamespace AND proname = ANY ($2)
  UNION ALL
  SELECT relname, has_table_privilege($1, oid, 'SELECT')
      AND (relname = ANY ($3) OR has_table_privilege($1, oid, 'INSERT')),
    has_table_privilege($1, oid, 'INSERT, UPDATE, DELETE') AND relname = ANY ($3)
  FROM pg_class
  WHERE relnamespace = 'ai_trading'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND relname <> 'schema_migrations'
)
SELECT
  array_agg(name ORDER BY name) FILTER (WHERE NOT usable) AS missing,
  array_agg(name ORDER BY name) FILTER (WHERE writable) AS writable
FROM things
"""

# What the server, the database and the login leave to us; -1 is no limit.
ROOM: Final = """
SELECT min(room) FROM (
  SELECT current_setting('max_connections')::INTEGER - current_setting('superuser_reserved_connections')::INTEGER
    - coalesce(current_setting('reserved_connections', TRUE)::INTEGER, 0) AS room
  UNION ALL SELECT rolconnlimit FROM pg_roles WHERE rolname = session_user
  UNION ALL SELECT datconnlimit FROM pg_database WHERE datname = current_database()
) AS limits WHERE room >= 0
"""


# As a person reaches it: without an address it is a socket, in the first of these directories.
ADDRESS: Final = """
SELECT session_user AS user, current_database() AS database, current_setting('port') AS port,
  coalesce(host(inet_server_addr()), split_part(current_setting('unix_socket_directories'), ',', 1)) AS host
"""


class Verdict(Enum):
    """Whether the service can work with what was found."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, what it is, and what that means."""

    subject: str
    verdict: Verdict
    text: str


async def findings(connection: asyncpg.Connection, settings: Settings) -> list[Finding]:
    """Everything that was looked at, in the order in which to put it right."""
    found = [await look(connection) for look in (_address, _version, _encryption, _durability)]
    schema = await _schema(connection)
    role = await _role(connection, settings.database_role)
    found += [schema, role]
    if schema.verdict is not Verdict.BAD and role.verdict is Verdict.GOOD:
        found += [await _rights(connection, settings.database_role), await _log(connection)]
    return [*found, await _room(connection, settings)]


async def _address(connection: asyncpg.Connection) -> Finding:
    row = await connection.fetchrow(ADDRESS)
    text = f"psql -h {row['host']} -p {row['port']} -U {row['user']} {row['database']}"
    return Finding("address", Verdict.GOOD, text)


async def _version(connection: asyncpg.Connection) -> Finding:
    version = connection.get_server_version()
    text = f"PostgreSQL {await connection.fetchval('SHOW server_version')}"
    if version.major < VERSIONS.start:
        return Finding("version", Verdict.BAD, f"{text}: {VERSIONS.start} or later is needed")
    if version.major not in VERSIONS:
        return Finding("version", Verdict.DOUBTFUL, f"{text} is later than those that this program was tested with")
    return Finding("version", Verdict.GOOD, text)


async def _encryption(connection: asyncpg.Connection) -> Finding:
    row = await connection.fetchrow(
        "SELECT version, inet_server_addr() AS address FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    )
    if row["version"]:
        return Finding("TLS", Verdict.GOOD, row["version"])
    if row["address"] is None or row["address"].is_loopback:
        return Finding("TLS", Verdict.GOOD, "none, and none needed: the connection does not leave this machine")
    return Finding("TLS", Verdict.DOUBTFUL, "none: add sslmode=require to DATABASE_URL unless the network is private")


async def _durability(connection: asyncpg.Connection) -> Finding:
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        return Finding("writes", Verdict.BAD, "this server is a replica: DATABASE_URL must name the primary")
    for name in ("fsync", "full_page_writes"):
        if await connection.fetchval("SELECT current_setting($1)", name) == "off":
            return Finding("writes", Verdict.BAD, f"{name} is off: acknowledged signals can be lost")
    return Finding("writes", Verdict.GOOD, "a commit survives a crash")


async def _schema(connection: asyncpg.Connection) -> Finding:
    status = await migrations.status(connection)
    if status.unknown:
        return Finding("schema", Verdict.BAD, f"{', '.join(status.unknown)} unknown: install a newer ai-grpc")
    if status.pending:
        return Finding("schema", Verdict.BAD, f"{', '.join(status.pending)} pending: run ai-grpc migrate up")
    return Finding("schema", Verdict.GOOD, f"at migration {status.applied[-1]}")


async def _role(connection: asyncpg.Connection, role: str) -> Finding:
    user = await connection.fetchval("SELECT current_user")
    if not role:
        return Finding("role", Verdict.GOOD, f"{user}, as AI_GRPC_DATABASE_ROLE is empty")
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('role', $1, true)", role)
    except (asyncpg.InvalidParameterValueError, asyncpg.InsufficientPrivilegeError) as error:
        return Finding("role", Verdict.BAD, f"{user} cannot act as {role}: {error}")
    return Finding("role", Verdict.GOOD, f"{user} acts as {role}")


async def _rights(connection: asyncpg.Connection, role: str) -> Finding:
    row = await connection.fetchrow(
        RIGHTS, role or await connection.fetchval("SELECT current_user"), FUNCTIONS, PROTECTED
    )
    if row["missing"]:
        return Finding("rights", Verdict.BAD, f"the role may not use {', '.join(row['missing'])}: migrate as the owner")
    if row["writable"]:
        return Finding("rights", Verdict.DOUBTFUL, f"the role may write {', '.join(row['writable'])} past the log")
    return Finding("rights", Verdict.GOOD, "all that is needed, and no way to write signals past the log")


async def _log(connection: asyncpg.Connection) -> Finding:
    row = await connection.fetchrow(
        "SELECT epoch, floor, sequence FROM ai_trading.log_meta, ai_trading.signal_log_head()"
    )
    return Finding("log", Verdict.GOOD, f"epoch {row['epoch']}, events after {row['floor']} up to {row['sequence']}")


async def _room(connection: asyncpg.Connection, settings: Settings) -> Finding:
    room = await connection.fetchval(ROOM)
    reads = 0 if settings.read_database_url else settings.read_pool_size
    need = settings.workers * (settings.calls_pool_size + reads + settings.replay_pool_size + len(LINES))
    text = f"a replica opens up to {need} of {room}"
    if need > room:
        return Finding("connections", Verdict.BAD, f"{text}: lower AI_GRPC_CALLS_POOL_SIZE, or raise max_connections")
    if 2 * need > room:
        return Finding("connections", Verdict.DOUBTFUL, f"{text}: too few to replace one replica by another")
    return Finding("connections", Verdict.GOOD, f"{text}: enough for {room // need} replicas")
