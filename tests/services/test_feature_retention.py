"""Partitions of features: made ahead, and dropped when they are past."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import asyncpg
import pytest

from tests.signals import an_exchange, execute

VECTOR: Final = """
INSERT INTO feature_data (symbol, timestamp, feature_set_name, features, raw_data_hash, created_at)
SELECT 'A', now() - make_interval(days => $1) + n * interval '1 second', 's', '{}', repeat('a', 64),
  now() - make_interval(days => $2)
FROM generate_series(1, $3) AS n
"""
PARTITION: Final = """
SELECT tableoid::regclass::text AS name, count(*)::int FROM feature_data GROUP BY 1 ORDER BY 1
"""
PARTITIONS: Final = """
SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'feature_data'::regclass ORDER BY 1
"""
AHEAD: Final = """
INSERT INTO feature_data (symbol, timestamp, feature_set_name, features, raw_data_hash)
VALUES ($1::text, date_trunc('month', now()) + interval '40 days', 's', '{}', repeat('a', 64))
"""
# The first moment of this month and of the two that follow, and the last one before each.
EDGES: Final = """
INSERT INTO feature_data (symbol, timestamp, feature_set_name, features, raw_data_hash)
SELECT 'A', edge AT TIME ZONE 'UTC' - before * interval '1 microsecond', 's', '{}', repeat('a', 64)
FROM generate_series(0, 1) AS before,
  generate_series(
    date_trunc('month', now() AT TIME ZONE 'UTC'), date_trunc('month', now() AT TIME ZONE 'UTC') + interval '2 months',
    interval '1 month'
  ) AS edge
"""
OLD: Final = "feature_data_old"
# From the tenth day of this month on.
BY_HAND: Final = """
DO $$
BEGIN
  EXECUTE format(
    'CREATE TABLE by_hand PARTITION OF feature_data FOR VALUES FROM (%L) TO (MAXVALUE)',
    date_trunc('month', now() AT TIME ZONE 'UTC') + interval '9 days'
  );
END
$$
"""
ROUNDS: Final = 20


@asynccontextmanager
async def connected(database: str, **settings: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection for a while, as the superuser unless there is a role."""
    connection = await asyncpg.connect(database, server_settings={"search_path": "ai_trading", **settings}, timeout=10)
    try:
        yield connection
    finally:
        await connection.close(timeout=10)


async def names(database: str) -> list[str]:
    """All partitions."""
    return [row["name"] for row in await execute(database, PARTITIONS)]


async def counts(database: str) -> dict[str, int]:
    """How many rows the partitions have that have some."""
    return {row["name"]: row["count"] for row in await execute(database, PARTITION)}


async def next_month(database: str) -> str:
    """How the name of the next month's partition ends."""
    (row,) = await execute(
        database,
        "SELECT to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month', 'YYYY_MM') AS name",
    )
    return str(row["name"])


async def until(database: str, done: Callable[[list[str]], bool]) -> None:
    """Returns when the partitions are such."""
    while True:
        if done(await names(database)):
            return
        await asyncio.sleep(0.02)


async def make_past_partition(database: str, days: int) -> None:
    """A partition of seven days that began so many days ago."""
    (row,) = await execute(
        database,
        "SELECT format('CREATE TABLE %s PARTITION OF feature_data FOR VALUES FROM (%L) TO (%L)', $1::text,"
        " now() - make_interval(days => $2), now() - make_interval(days => $2 - 7)) AS statement",
        OLD,
        days,
    )
    await execute(database, row["statement"])


async def made(database: str) -> int:
    """Makes partitions, as the service does, and anybody wherever he is."""
    async with connected(database, role="ai_trading_service", timezone="Pacific/Auckland") as service:
        count: int = await service.fetchval("SELECT make_feature_partitions()")
        return count


async def cleaned(database: str, *days: int) -> int:
    """Cleans up, as the service does."""
    async with connected(database, role="ai_trading_service") as service:
        parameters = "$1" if days else ""
        count: int = await service.fetchval(f"SELECT cleanup_old_feature_data({parameters})", *days)
        return count


async def test_partitions_are_made_for_this_month_and_the_next_once(database: str) -> None:
    assert await names(database) == ["feature_data_default"]
    assert [await made(database) for _ in range(2)] == [2, 0]
    first, second, _ = await names(database)
    months = await execute(
        database,
        "SELECT to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + n * interval '1 month',"
        " '\"feature_data_\"YYYY_MM') AS name FROM generate_series(0, 1) AS n",
    )
    assert [first, second] == [row["name"] for row in months]
    # A parent's indexes and constraints are those of each partition.
    (row,) = await execute(
        database, "SELECT count(*) FROM pg_index WHERE indrelid = $1::regclass AND indisvalid", f"ai_trading.{first}"
    )
    assert row[0] == 5


async def test_a_month_that_has_a_partition_made_by_hand_needs_none(database: str) -> None:
    await execute(database, BY_HAND)
    assert await made(database) == 0
    assert await names(database) == ["by_hand", "feature_data_default"]


async def test_the_service_makes_partitions_and_drops_them(database: str) -> None:
    await make_past_partition(database, 200)
    await execute(database, VECTOR, 200, 200, 10)
    async with an_exchange(database, upkeep_interval=0.05):
        await until(database, lambda found: OLD not in found and len(found) == 3)
    assert await counts(database) == {}


async def test_a_service_that_keeps_features_for_ever_drops_none(database: str) -> None:
    await execute(database, VECTOR, 20000, 20000, 10)
    async with an_exchange(database, upkeep_interval=0.02, feature_retention_days=0):
        # The chore before the one in question has begun again.
        for _ in range(2):
            await execute(database, "DROP TABLE IF EXISTS feature_data_" + await next_month(database))
            await until(database, lambda found: len(found) == 3)
    assert await counts(database) == {"feature_data_default": 10}


async def test_rows_move_out_of_the_default_partition_when_theirs_is_made(database: str) -> None:
    await execute(database, VECTOR, 0, 0, 5)
    await execute(database, VECTOR, 100, 0, 3)
    assert await counts(database) == {"feature_data_default": 8}
    before = await execute(database, "SELECT f.* FROM feature_data AS f ORDER BY timestamp")
    await made(database)
    assert sorted((await counts(database)).values()) == [3, 5]
    assert (await counts(database))["feature_data_default"] == 3
    assert await execute(database, "SELECT f.* FROM feature_data AS f ORDER BY timestamp") == before


async def test_a_month_begins_with_its_first_moment_in_utc(database: str) -> None:
    await execute(database, EDGES)
    await made(database)
    assert sorted((await counts(database)).values()) == [2, 2, 2]
    for partition in (await names(database))[:2]:
        (row,) = await execute(
            database, f"SELECT array_agg(to_char(timestamp AT TIME ZONE 'UTC', 'YYYY_MM')) FROM {partition}"
        )
        assert row[0] == [partition.removeprefix("feature_data_")] * 2


async def test_a_partition_that_is_past_is_dropped_whole(database: str) -> None:
    await make_past_partition(database, 97)
    await execute(database, VECTOR, 97, 97, 7)
    await execute(database, VECTOR, 89, 100, 2)
    assert await cleaned(database) == 7
    assert OLD not in await names(database)
    assert await counts(database) == {"feature_data_default": 2}
    assert await cleaned(database) == 0


async def test_a_partition_stays_until_all_of_it_is_past(database: str) -> None:
    await make_past_partition(database, 96)
    await execute(database, VECTOR, 96, 96, 7)
    assert await cleaned(database) == 0
    assert await cleaned(database, 80) == 7


async def test_a_past_that_was_put_lately_stays(database: str) -> None:
    await make_past_partition(database, 100)
    await execute(database, VECTOR, 100, 100, 4)
    await execute(database, VECTOR, 99, 10, 3)
    await execute(database, VECTOR, 300, 100, 2)
    await execute(database, VECTOR, 299, 10, 1)
    assert await cleaned(database) == 6
    assert await counts(database) == {"feature_data_default": 1, OLD: 3}


async def test_nothing_is_kept_for_less_than_no_time(database: str) -> None:
    await execute(database, VECTOR, 1, 1, 3)
    with pytest.raises(asyncpg.InvalidParameterValueError, match=r"^retention_days is negative$"):
        await cleaned(database, -1)
    assert await counts(database) == {"feature_data_default": 3}
    assert await cleaned(database, 0) == 3


async def test_who_holds_the_table_is_not_waited_for(database: str) -> None:
    await make_past_partition(database, 100)
    await execute(database, VECTOR, 100, 100, 4)
    async with connected(database) as reader, reader.transaction():
        await reader.fetch("SELECT FROM feature_data")
        for attempt in (cleaned, made):
            with pytest.raises(asyncpg.LockNotAvailableError):
                await asyncio.wait_for(attempt(database), 20)
        # And nobody waits for who did not get it.
        await asyncio.wait_for(execute(database, VECTOR, 0, 0, 1), 20)
    assert await cleaned(database) == 4
    assert await made(database) == 2
    assert sorted((await counts(database)).values()) == [1]


async def test_nobody_misses_a_row_or_is_refused_while_it_moves(database: str) -> None:
    await made(database)
    partition = "feature_data_" + await next_month(database)
    undone = (
        f"LOCK TABLE feature_data; CREATE TEMPORARY TABLE held AS SELECT * FROM {partition}; DROP TABLE {partition};"
        "INSERT INTO feature_data SELECT * FROM held; DROP TABLE held"
    )

    async def write() -> None:
        async with connected(database, role="ai_trading_service") as writer:
            for number in range(ROUNDS * 20):
                await writer.execute(AHEAD, str(number))

    async def look() -> None:
        async with connected(database, role="ai_trading_service") as reader:
            while not writing.done():
                assert await reader.fetchval("SELECT count(*) FROM feature_data WHERE symbol = 'FIRST'") == 1

    async def move() -> None:
        async with connected(database) as mover:
            while not writing.done():
                await mover.execute(undone)
                count = None
                while count is None:
                    # It gives up when those who write and read keep the table for 200 ms.
                    with suppress(asyncpg.LockNotAvailableError):
                        count = await mover.fetchval("SELECT make_feature_partitions()")
                assert count == 1

    await execute(database, AHEAD, "FIRST")
    writing = asyncio.create_task(write())
    await asyncio.gather(writing, look(), look(), move())
    assert await counts(database) == {partition: ROUNDS * 20 + 1}


async def test_replicas_that_make_partitions_together_make_each_once(database: str) -> None:
    assert sorted(await asyncio.gather(*(made(database) for _ in range(4))))[-1] == 2
    assert len(await names(database)) == 3
