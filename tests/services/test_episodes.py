"""Episodes: stored by streams that may be repeated, and read by number."""

from __future__ import annotations

import asyncio
import math
import uuid
from typing import Any, Final

import asyncpg
import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.v1 import training_pb2 as pb
from ai_grpc.v1.training_pb2_grpc import TrainingServiceStub
from tests.faults.database import until_waiting
from tests.signals import PATIENT, an_exchange, details, refusal
from tests.training import a_running_session, add, an_episode, the_episodes, the_session

NOBODY: Final = str(uuid.uuid4())


async def test_episodes_are_read_by_number_as_they_were_given(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        full = an_episode(session_id, 2)
        bare = pb.Episode(session_id=session_id, episode_number=1, total_reward=0)
        assert await add(channel, [full], [bare]) == (2, 0)
        stored = await the_episodes(channel, session_id)
        assert all(episode.create_time.ToMicroseconds() > 0 for episode in stored)
        for episode in stored:
            episode.ClearField("create_time")
        assert stored == [bare, full]


async def test_a_summary_has_no_sequences(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        await add(channel, [an_episode(session_id)])
        [episode] = await the_episodes(channel, session_id, summary=True)
        [whole] = await the_episodes(channel, session_id)
        assert (list(episode.actions_taken), list(episode.rewards)) == ([], [])
        episode.MergeFrom(pb.Episode(actions_taken=whole.actions_taken, rewards=whole.rewards))
        assert episode == whole


async def test_storing_again_counts_duplicates(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        episodes = [an_episode(session_id, number) for number in range(1, 6)]
        assert await add(channel, episodes[:3]) == (3, 0)
        before = await the_episodes(channel, session_id)
        assert await add(channel, episodes[:2], episodes[2:]) == (5, 3)
        shouted = an_episode(session_id.upper(), 1, final_portfolio_value="10250.7500")
        assert await add(channel, [shouted]) == (1, 1)
        stored = await the_episodes(channel, session_id)
        assert (stored[:3], len(stored)) == (before, 5)


async def test_within_a_stream_each_request_comes_after_the_one_before(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        episode, other = an_episode(session_id), an_episode(session_id, total_reward=1)
        assert await add(channel, [episode], [episode], [episode, episode]) == (4, 3)
        error = await refusal(add(channel, [an_episode(session_id, 2)], [other]))
        assert details(error).reason == "EPISODE_EXISTS"
        error = await refusal(add(channel, [an_episode(session_id, 3), an_episode(session_id, 3, total_reward=1)]))
        assert details(error).reason == "EPISODE_EXISTS"
        assert (await the_episodes(channel, session_id))[0].total_reward == episode.total_reward


async def test_other_content_is_refused_and_its_request_is_not_written(
    database: str, subtests: pytest.Subtests
) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        await add(channel, [an_episode(session_id, 1)])
        before = await the_episodes(channel, session_id)
        changes: dict[str, Any] = {
            "total_reward": 12.625,
            "episode_length": 4,
            "final_portfolio_value": "10250.750001",
            "max_drawdown": None,
            "actions_taken": [0, 1],
            "rewards": [],
            "episode_end_reason": "bankrupt",
        }
        for field, value in changes.items():
            with subtests.test(field):
                error = await refusal(
                    add(channel, [an_episode(session_id, 2), an_episode(session_id, **{field: value})])
                )
                assert error.code() == grpc.StatusCode.ALREADY_EXISTS
                assert details(error)[:2] == ("EPISODE_EXISTS", {"session_id": session_id, "episode_number": "1"})
        assert await the_episodes(channel, session_id) == before


async def test_episodes_of_an_unknown_session_are_not_stored(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        error = await refusal(add(channel, [an_episode(session_id, 1), an_episode(NOBODY, 2)]))
        assert error.code() == grpc.StatusCode.NOT_FOUND
        assert details(error)[:2] == ("TRAINING_SESSION_NOT_FOUND", {"session_id": NOBODY})
        assert await the_episodes(channel, session_id) == []


async def test_episodes_are_heartbeats_and_may_come_late(database: str) -> None:
    async with an_exchange(database) as channel:
        one, two = [await a_running_session(channel) for _ in range(2)]
        before = [await the_session(channel, session_id) for session_id in (one, two)]
        await add(channel, [an_episode(two), an_episode(one)])
        for session in before:
            after = await the_session(channel, session.session_id)
            assert after.heartbeat_time.ToMicroseconds() > session.heartbeat_time.ToMicroseconds()
        end = pb.FailTrainingSessionRequest(session_id=one, error_message="lost")
        ended = (await TrainingServiceStub(channel).FailTrainingSession(end)).session
        assert await add(channel, [an_episode(one, 2)]) == (1, 0)
        assert await the_session(channel, one) == ended


@pytest.mark.parametrize("late", [False, True])
async def test_two_writers_of_the_same_episodes_store_them_once(database: str, late: bool) -> None:
    async with an_exchange(database, **PATIENT) as one, an_exchange(database, **PATIENT) as other:
        sessions = [await a_running_session(one) for _ in range(3)]
        for session_id in sessions if late else []:
            end = pb.CompleteTrainingSessionRequest(session_id=session_id)
            await TrainingServiceStub(one).CompleteTrainingSession(end)
        episodes = [an_episode(session_id, number) for session_id in sessions for number in range(1, 200)]
        # In opposite orders, so that writers that took rows as they come would wait for each other in a circle.
        outcomes = await asyncio.gather(
            *(add(channel, each) for channel, each in ((one, episodes), (other, episodes[::-1])) * 4)
        )
        assert sum(count - duplicates for count, duplicates in outcomes) == len(episodes)
        for session_id in sessions:
            assert len(await the_episodes(one, session_id)) == 199


async def test_of_two_writers_of_one_episode_the_first_commit_counts(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database) as other:
        session_id = await a_running_session(one)
        outcomes = await asyncio.gather(
            *(add(channel, [an_episode(session_id, total_reward=n)]) for n, channel in enumerate((one, other))),
            return_exceptions=True,
        )
        [(won, _)] = [(n, outcome) for n, outcome in enumerate(outcomes) if outcome == (1, 0)]
        lost = outcomes[1 - won]
        assert isinstance(lost, grpc.aio.AioRpcError)
        assert details(lost).reason == "EPISODE_EXISTS"
        [stored] = await the_episodes(one, session_id)
        assert stored.total_reward == won


async def test_all_pages_together_hold_every_episode_once(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id, other = [await a_running_session(channel) for _ in range(2)]
        numbers = [1, 2, 3, 5, 8, 13, 2**31 - 1]
        await add(channel, [an_episode(each, number) for number in numbers for each in (session_id, other)])
        request = pb.ListEpisodesRequest(session_id=session_id, page_size=3)
        pages: list[list[int]] = []
        while not pages or request.page_token:
            response = await TrainingServiceStub(channel).ListEpisodes(request)
            pages.append([episode.episode_number for episode in response.episodes])
            request.page_token = response.next_page_token
        assert pages == [numbers[:3], numbers[3:6], numbers[6:]]


async def test_a_page_of_long_episodes_ends_early(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        long = {"actions_taken": [0.5] * 100_000, "rewards": [0.25] * 100_000}
        await add(channel, *([an_episode(session_id, number, **long)] for number in range(1, 5)))
        response = await TrainingServiceStub(channel).ListEpisodes(pb.ListEpisodesRequest(session_id=session_id))
        assert (len(response.episodes), bool(response.next_page_token)) == (1, True)
        assert len(response.episodes[0].actions_taken) == 100_000
        assert [each.episode_number for each in await the_episodes(channel, session_id)] == [1, 2, 3, 4]


async def test_a_stream_without_requests_stores_nothing(database: str) -> None:
    async with an_exchange(database) as channel:
        assert await add(channel) == (0, 0)


async def test_what_came_before_the_fault_stays_and_nothing_after_it(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        one, bad, other = [an_episode(session_id, number) for number in (1, 0, 2)]
        full = [an_episode(session_id, number) for number in range(3, 1003)]
        error = await refusal(add(channel, full, [one, bad], [other]))
        assert details(error)[:3] == ("INVALID_FIELD", {}, ["requests[1].episodes[1].episode_number"])
        assert [each.episode_number for each in await the_episodes(channel, session_id)] == [*range(3, 1003)]


async def test_a_client_that_leaves_in_the_midst_of_a_write_stops_it(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        holder = await asyncpg.connect(database, timeout=10)
        async with holder.transaction():
            await holder.execute("SELECT FROM ai_trading.training_sessions FOR UPDATE")
            call = asyncio.ensure_future(add(channel, [an_episode(session_id)]))
            await until_waiting(holder, "calls", 1)
            call.cancel()
            await until_waiting(holder, "calls", 0)
        await holder.close(timeout=10)
        assert await the_episodes(channel, session_id) == []


async def test_a_long_episode_of_tiny_rewards_is_stored(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        episode = an_episode(session_id, rewards=[1e-05, -2.5e-07] * 50_000, actions_taken=[1e300] * 11_000)
        assert details(await refusal(add(channel, [episode]))).fields == ["requests[0].episodes[0].actions_taken"]
        episode.actions_taken[:] = [1]
        assert await add(channel, [episode]) == (1, 0)
        [stored] = await the_episodes(channel, session_id)
        assert stored.rewards == episode.rewards


FAULTS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"session_id": ""}, "session_id"),
    ({"session_id": "x"}, "session_id"),
    ({"number": 0}, "episode_number"),
    ({"number": -1}, "episode_number"),
    ({"total_reward": None}, "total_reward"),
    ({"total_reward": math.nan}, "total_reward"),
    ({"total_reward": -math.inf}, "total_reward"),
    ({"episode_length": -1}, "episode_length"),
    ({"create_time": Timestamp(seconds=1)}, "create_time"),
    ({"max_drawdown": math.nan}, "max_drawdown"),
    ({"max_drawdown": math.inf}, "max_drawdown"),
    ({"max_drawdown": -0.12}, "max_drawdown"),
    ({"rewards": [1e308] * 10_000}, "rewards"),
    *(
        ({"final_portfolio_value": text}, "final_portfolio_value")
        for text in ("1000000000", "-1000000000", "0.0000001", "NaN", "Infinity", "1,5", "1e3", "x", "a\0b")
    ),
    ({"actions_taken": [math.nan]}, "actions_taken"),
    ({"rewards": [1, math.inf]}, "rewards"),
    ({"rewards": [0] * 100_001}, "rewards"),
    ({"actions_taken": [0] * 100_001}, "actions_taken"),
    ({"episode_end_reason": "x" * 51}, "episode_end_reason"),
    ({"episode_end_reason": "a\0b"}, "episode_end_reason"),
]


async def test_the_field_at_fault_is_named_with_its_place(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        for changes, field in FAULTS:
            with subtests.test(field, value=str(changes)[:40]):
                good = [an_episode(session_id, number) for number in range(10, 15)]
                bad = an_episode(**{"session_id": session_id, "number": 7, **changes})
                error = await refusal(add(channel, [*good[:3], bad, *good[3:]]))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, [f"requests[0].episodes[3].{field}"])
        for count in (0, 1001):
            error = await refusal(add(channel, [an_episode(session_id, number) for number in range(1, count + 1)]))
            assert details(error)[:3] == ("INVALID_FIELD", {}, ["requests[0].episodes"])
        for request, field in (
            (pb.ListEpisodesRequest(), "session_id"),
            (pb.ListEpisodesRequest(session_id=session_id, page_size=-1), "page_size"),
            (pb.ListEpisodesRequest(session_id=session_id, page_token="Mg"), "page_token"),
        ):
            error = await refusal(TrainingServiceStub(channel).ListEpisodes(request))
            assert details(error)[:3] == ("INVALID_FIELD", {}, [field])
        assert await the_episodes(channel, session_id) == []
