"""Connections to PostgreSQL, each bounded and named for its purpose; the codecs; the named queries."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from importlib import resources
from json.encoder import encode_basestring
from typing import Any, Final

import asyncpg
from asyncpg.exceptions._base import DataError as UnsendableValue  # asyncpg.DataError is the server's
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from ai_grpc.errors import busy, database_unavailable
from ai_grpc.settings import Settings

CONNECT_TIMEOUT: Final = 5.0
ACQUIRE_TIMEOUT: Final = 5.0
MAX_DEPTH: Final = 16

# What asyncpg raises for a value that it cannot send, or that a table refuses. The first is an InterfaceError too, so
# these come before UNAVAILABLE.
BAD_VALUE: Final = (UnsendableValue, asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)

# What asyncpg raises when the database cannot be reached, has no room, or gave the call up. Nothing or everything of a
# statement happened; a repetition is due.
UNAVAILABLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    # For one, a connection used in the moment in which the server says that it ends it.
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    # Two who repeat the same rows in different orders wait for each other: one of them is given up.
    asyncpg.TransactionRollbackError,
    asyncpg.InvalidAuthorizationSpecificationError,
)

AS_IT_COMES: Final[Mapping[str, str]] = {}
# What is read by keys only: a plan made while the tables were empty would otherwise scan them until the next ANALYZE.
BY_KEY: Final = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
# Lists with optional filters: one that is not given folds away in a plan for the arguments, and only there.
BY_ARGUMENTS: Final = {"plan_cache_mode": "force_custom_plan"}


def load_queries(stem: str) -> dict[str, str]:
    """The queries of `queries/<stem>.sql` by the names in its `-- name:` lines."""
    text = resources.files("ai_grpc").joinpath("queries", f"{stem}.sql").read_text()
    parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


async def connect(
    dsn: str, settings: Settings, purpose: str, planning: Mapping[str, str] = AS_IT_COMES
) -> asyncpg.Connection:
    """One connection, seen in `pg_stat_activity` as `ai_grpc <purpose>`, with how queries are planned on it."""
    connection = await asyncpg.connect(dsn, **_options(settings, purpose, planning))
    await _add_codecs(connection)
    return connection


async def create_pool(
    dsn: str, settings: Settings, purpose: str, size: int, planning: Mapping[str, str] = AS_IT_COMES
) -> asyncpg.Pool:
    """A pool of at most `size` such connections, opened when they are needed."""
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        init=_add_codecs,
        # Nobody changes the session, so giving a connection back needs no round trip; asyncpg still ends a transaction.
        reset=_leave,
        **_options(settings, purpose, planning),
    )


@asynccontextmanager
async def acquired(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the pool. Raises ResourceExhausted if none is free for ACQUIRE_TIMEOUT, or one of UNAVAILABLE."""
    try:
        connection = await pool.acquire(timeout=ACQUIRE_TIMEOUT)
    except TimeoutError:
        # If there are fewer than there may be, one was being opened, and the server did not answer.
        raise (busy() if pool.get_size() == pool.get_max_size() else database_unavailable()) from None
    try:
        yield connection
    finally:
        await pool.release(connection)


async def close_pool(pool: asyncpg.Pool) -> None:
    """Closes a pool, politely if the server answers."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await pool.close()
    except UNAVAILABLE:
        pool.terminate()


class Line:
    """One connection for one purpose, opened again when it broke. It plans BY_KEY."""

    def __init__(self, dsn: str, settings: Settings, purpose: str) -> None:
        self._dsn, self._settings, self._purpose = dsn, settings, purpose
        self._connection: asyncpg.Connection | None = None

    async def get(self) -> asyncpg.Connection:
        """The open connection. Raises one of UNAVAILABLE."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._dsn, self._settings, self._purpose, BY_KEY)
        return self._connection

    def drop(self) -> None:
        """Throws the connection away without asking the server, which may be gone."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def _options(settings: Settings, purpose: str, planning: Mapping[str, str]) -> dict[str, Any]:
    server_settings = {
        "application_name": f"ai_grpc {purpose}",
        "search_path": "ai_trading",
        "timezone": "UTC",
        "jit": "off",
        "synchronous_commit": "on",
        "statement_timeout": str(int(settings.statement_timeout * 1000)),
        "lock_timeout": str(int(settings.lock_timeout * 1000)),
        "idle_in_transaction_session_timeout": "10000",
    }
    if settings.database_role:
        server_settings["role"] = settings.database_role
    server_settings |= planning
    # The server gives a statement up first; this bound is for a server that does not answer at all.
    return {
        "timeout": CONNECT_TIMEOUT,
        "command_timeout": settings.statement_timeout + 2,
        "server_settings": server_settings,
    }


async def _leave(connection: asyncpg.Connection) -> None:
    """What asyncpg calls instead of RESET ALL."""


async def _add_codecs(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=json.loads)


def json_of(struct: Struct, depth: int = MAX_DEPTH) -> str:
    """The struct as JSON that PostgreSQL can store and gives back in the same size, whole numbers without a point.

    Raises ValueError, whose text completes a sentence that begins with the field's name.
    """
    if depth == 0:
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
    fields = struct.fields
    # Not items(): the map's view of them costs more than the rest of this function.
    members = [f"{_json_string(key)}: {_json_value(fields[key], depth - 1)}" for key in fields]
    return "{" + ", ".join(members) + "}"


def json_list_of(values: ListValue, depth: int = MAX_DEPTH) -> str:
    """The list as such JSON."""
    if depth == 0:
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
    return "[" + ", ".join([_json_value(item, depth - 1) for item in values.values]) + "]"


def _json_value(value: Value, depth: int) -> str:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        return _json_number(value.number_value)
    if kind == "string_value":
        return _json_string(value.string_value)
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "null_value":
        return "null"
    if kind == "struct_value":
        return json_of(value.struct_value, depth)
    if kind != "list_value":
        raise ValueError("holds a value of no kind")
    return json_list_of(value.list_value, depth)


def _json_number(number: float) -> str:
    if number.is_integer() and -1e16 < number < 1e16:
        return str(int(number))
    if not math.isfinite(number):
        raise ValueError("holds a number that is not finite")
    text = repr(number)
    return f"{Decimal(text):f}" if "e" in text else text


def _json_string(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return encode_basestring(text)
