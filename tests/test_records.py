"""What all services share: queries by field names, and batches of which all is written or nothing."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc import db
from ai_grpc.errors import AlreadyExists, InvalidArgument, NotFound
from ai_grpc.fields import reader
from ai_grpc.records import Records, bound
from ai_grpc.v1 import errors_pb2
from ai_grpc.v1 import training_pb2 as pb
from ai_grpc.v1.models_pb2 import ListModelsRequest
from ai_grpc.v1.periods_pb2 import Period
from tests.locks import waiters
from tests.signals import a_struct, chosen, execute
from tests.training import an_episode

KEY: Final = ("session_id", "episode_number")
ONE, TWO, NOBODY = (str(uuid.UUID(int=number)) for number in (0xA, 0xB, 0xC))
NUMBERS: Final = "SELECT episode_number FROM rl_episodes ORDER BY session_id, episode_number"
MODEL: Final = "INSERT INTO ai_models (model_name, version, model_type) VALUES ('m', '1', 't') RETURNING model_id"
SESSION: Final = "INSERT INTO training_sessions (session_id, model_id, session_name) VALUES ($1, $2, 's')"


def test_a_parameter_has_one_number_wherever_it_stands_and_a_cast_is_none() -> None:
    sql = "SELECT :name::text, x::uuid[] WHERE a = :other AND b = :name AND c = ':no'::text"
    assert bound("SELECT 1::int") == ("SELECT 1::int", ())
    assert bound(sql[: sql.index(" AND c")]) == (
        "SELECT $1::text, x::uuid[] WHERE a = $2 AND b = $1",
        ("name", "other"),
    )


def test_every_kind_of_field_is_read_as_it_is_sent() -> None:
    session = pb.TrainingSession(
        session_id=ONE.upper(),
        session_name="n",
        state=pb.TRAINING_STATE_FAILED,
        training_data_period=Period(start_date="2024-01-01", end_date="2024-02-01"),
        hyperparameters=a_struct(layers=[64, 0.5]),
        heartbeat_timeout=Duration(seconds=1, nanos=1_000),
        start_time=Timestamp(seconds=1, nanos=999_999_999),
    )
    values = {name: reader(pb.TrainingSession.DESCRIPTOR, name)(session) for name in session.DESCRIPTOR.fields_by_name}
    expected = {
        "session_id": ONE,
        "model_id": "",
        "session_name": "n",
        "state": "FAILED",
        "hyperparameters": '{"layers": [64, 0.5]}',
        "heartbeat_timeout": timedelta(seconds=1, microseconds=1),
        "start_time": datetime(1970, 1, 1, 0, 0, 1, 999_999, UTC),
        "end_time": None,
        "stop_requested": False,
    }
    assert {name: values[name] for name in expected} == expected
    period = values["training_data_period"]
    assert isinstance(period, asyncpg.Range)
    assert (str(period.lower), str(period.upper)) == ("2024-01-01", "2024-02-01")
    episode = pb.Episode(rewards=[1, 0.5])
    assert reader(pb.Episode.DESCRIPTOR, "total_reward")(episode) is None
    assert reader(pb.Episode.DESCRIPTOR, "rewards", listed=True)(episode) == "[1.0, 0.5]"
    assert reader(ListModelsRequest.DESCRIPTOR, "active")(ListModelsRequest(active=False)) is False


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    """Connections as the service has them, of which there is but one."""
    [(model_id,)] = await execute(database, MODEL)
    for session_id in (ONE, TWO):
        await execute(database, SESSION, session_id, model_id)
    pool = await db.create_pool(database, chosen(), "test", 1)
    yield pool
    await db.close_pool(pool)


@pytest.fixture
def records(pool: asyncpg.Pool) -> Records:
    """Those of training."""
    return Records("training", pool, pool)


def exists(episode: pb.Episode) -> AlreadyExists:
    """As the service says it."""
    return AlreadyExists(errors_pb2.ERROR_REASON_EPISODE_EXISTS, f"{episode.session_id} {episode.episode_number}")


async def write(
    records: Records, episodes: list[pb.Episode], places: list[str] | None = None
) -> list[tuple[int, bool]]:
    """The number of each row that comes back, and whether it had been there. With places, they are of a stream."""
    if places is None:
        rows = await records.write("add_episodes", episodes, "episodes", KEY, exists)
    else:
        rows = await records.store(await records.prepare("add_episodes", episodes, places, KEY, exists))
    return sorted((row["episode_number"], row["duplicate"]) for row in rows)


async def numbers(database: str) -> list[int]:
    """Those of the episodes that are stored."""
    return [row[0] for row in await execute(database, NUMBERS)]


async def test_all_items_are_written_and_a_repetition_writes_none(records: Records, database: str) -> None:
    episodes = [an_episode(ONE, 2), an_episode(TWO, 1), an_episode(ONE, 1)]
    assert await write(records, episodes) == [(1, False), (1, False), (2, False)]
    assert await write(records, episodes) == [(1, True), (1, True), (2, True)]
    assert await numbers(database) == [1, 2, 1]


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_request_has_a_bound_of_items(records: Records, database: str, count: int) -> None:
    with pytest.raises(InvalidArgument, match=rf"^episodes must have 1 to 1000 elements, not {count}$"):
        await write(records, [an_episode(ONE, number + 1) for number in range(count)])
    assert await numbers(database) == []


@pytest.mark.parametrize("place", [0, 1, 7, 998, 999])
async def test_the_first_item_that_the_database_refuses_is_named_and_none_is_written(
    records: Records, database: str, place: int
) -> None:
    episodes = [an_episode(ONE, number + 1) for number in range(1000)]
    for index in {place, 999}:
        episodes[index].episode_length = -1
    with pytest.raises(InvalidArgument, match=rf"^episodes\[{place}\]\.episode_length must not be negative$"):
        await write(records, episodes)
    assert await numbers(database) == []


async def test_the_reason_is_that_of_the_first_item_and_not_of_the_first_row(records: Records, database: str) -> None:
    # They are written in the order of their numbers.
    episodes = [an_episode(ONE, 10 - index) for index in range(8)]
    episodes[2].episode_end_reason = "x" * 51
    episodes[6].episode_length = -1
    with pytest.raises(InvalidArgument, match=r"^episodes\[2\]\.episode_end_reason must have at most 50 characters$"):
        await write(records, episodes)
    assert await numbers(database) == []


async def test_the_first_item_that_cannot_be_sent_is_named(records: Records, database: str) -> None:
    episodes = [an_episode(ONE, number + 1) for number in range(4)]
    episodes[2].rewards.append(float("nan"))
    episodes[3].actions_taken.append(float("nan"))
    with pytest.raises(InvalidArgument, match=r"^episodes\[2\]\.rewards holds a number that is not finite$"):
        await write(records, episodes)
    many = [an_episode(ONE, number + 1) for number in range(100)]
    many[70].rewards.append(float("nan"))
    with pytest.raises(InvalidArgument, match=r"^episodes\[70\]\.rewards holds a number that is not finite$"):
        await write(records, many)
    with pytest.raises(InvalidArgument, match=r"^requests\[5\]\.episodes\[1\]\.session_id must be a UUID$"):
        await write(records, [an_episode(ONE), an_episode("x")], ["requests[4].episodes[0]", "requests[5].episodes[1]"])
    assert await numbers(database) == []


async def test_what_an_item_refers_to_must_exist(records: Records, database: str) -> None:
    with pytest.raises(NotFound, match=f"^training session {NOBODY} does not exist$"):
        await write(records, [an_episode(ONE), an_episode(NOBODY), an_episode(TWO)])
    assert await numbers(database) == []


async def test_of_rows_that_exist_with_other_content_the_first_is_named(records: Records, database: str) -> None:
    await write(records, [an_episode(ONE, 2), an_episode(TWO, 2)])
    changed = [an_episode(session_id, 2, total_reward=1) for session_id in (TWO.upper(), ONE)]
    with pytest.raises(AlreadyExists, match=f"^{TWO.upper()} 2$"):
        await write(records, [an_episode(ONE, 1), *changed])
    assert await numbers(database) == [2, 2]


async def test_no_key_stands_twice_in_a_request_in_whatever_form(records: Records, database: str) -> None:
    for again in (ONE, ONE.upper()):
        with pytest.raises(InvalidArgument, match=r"^episodes\[2\]\.episode_number is that of episodes\[0\] already$"):
            await write(records, [an_episode(ONE), an_episode(TWO), an_episode(again)])
    assert await numbers(database) == []


async def test_within_a_stream_a_key_that_comes_again_is_written_after_the_first(
    records: Records, database: str
) -> None:
    places = [f"requests[{number}].episodes[0]" for number in range(4)]
    episodes = [an_episode(ONE, 1), an_episode(ONE, 2), an_episode(ONE.upper(), 1), an_episode(ONE, 1)]
    assert await write(records, episodes, places) == [(1, False), (1, True), (1, True), (2, False)]
    changed = [an_episode(TWO, 1), an_episode(TWO, 2), an_episode(TWO, 1, total_reward=0)]
    with pytest.raises(AlreadyExists, match=f"^{TWO} 1$"):
        await write(records, changed, places[:3])
    faulty = [an_episode(TWO, 1), an_episode(TWO, 1), an_episode(TWO, 0)]
    with pytest.raises(InvalidArgument, match=r"^requests\[2\]\.episodes\[0\]\.episode_number must be at least 1$"):
        await write(records, faulty, places[:3])
    assert await numbers(database) == [1, 2]


async def test_a_refusal_is_explained_without_another_connection(
    records: Records, pool: asyncpg.Pool, database: str
) -> None:
    # There is one, for which they wait in turn.
    bad = [an_episode(ONE, 1), an_episode(ONE, 0)]
    outcomes = await asyncio.gather(*(write(records, bad) for _ in range(5)), return_exceptions=True)
    assert {str(outcome) for outcome in outcomes} == {"episodes[1].episode_number must be at least 1"}
    assert pool.get_idle_size() == pool.get_size() == 1
    assert await write(records, bad[:1]) == [(1, False)]
    assert await numbers(database) == [1]


async def test_little_more_is_read_than_a_page_holds(records: Records, database: str) -> None:
    await write(records, [an_episode(ONE, number) for number in range(1, 101)])
    # 100 KiB each, so that 30 make a page; and some that nobody could read.
    long = "UPDATE rl_episodes SET rewards = a FROM (SELECT jsonb_agg(0) AS a FROM generate_series(1, 12800)) AS zeros"
    await execute(database, f"{long} WHERE episode_number <= 40")
    await execute(database, "ALTER TABLE rl_episodes DROP CONSTRAINT rewards_is_an_array_of_numbers")
    await execute(database, "UPDATE rl_episodes SET rewards = '[null]' WHERE episode_number > 60")
    request = pb.ListEpisodesRequest(session_id=ONE, page_size=1000)
    episodes, request.page_token = await records.page(pb.Episode, "list_episodes", request)
    assert [episode.episode_number for episode in episodes] == list(range(1, 31))
    request.page_size = 3
    following, token = await records.page(pb.Episode, "list_episodes", request)
    assert ([episode.episode_number for episode in following], bool(token)) == ([31, 32, 33], True)


async def test_a_cancelled_write_leaves_nothing_and_its_connection_is_of_use(
    records: Records, pool: asyncpg.Pool, database: str
) -> None:
    holder = await asyncpg.connect(database, timeout=10)
    async with holder.transaction():
        await holder.execute("LOCK TABLE ai_trading.rl_episodes")
        task = asyncio.create_task(write(records, [an_episode(ONE)]))
        await waiters(holder, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await holder.close(timeout=10)
    assert await numbers(database) == []
    assert await write(records, [an_episode(ONE)]) == [(1, False)]
