"""Whatever may be written is read back equal; whatever may not is refused with a reason, and not written."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable
from datetime import date
from typing import Any, Final

import grpc
from google.protobuf.duration_pb2 import Duration
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ai_grpc.v1 import training_pb2 as pb
from ai_grpc.v1.periods_pb2 import Period
from ai_grpc.v1.training_pb2_grpc import TrainingServiceStub
from tests.signals import an_active_model, an_exchange, details, execute
from tests.training import a_running_session, a_start, add, an_episode, the_episodes, the_session

# As in tests/exchange/test_events.py.
BOUNDED: Final = settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
COUNT: Final = "SELECT (SELECT count(*) FROM training_sessions), (SELECT count(*) FROM rl_episodes)"

TEXT: Final = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=10)
# PostgreSQL knows no negative zero in JSON.
NUMBERS: Final = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
STRUCTS: Final = st.dictionaries(
    TEXT,
    st.recursive(
        st.none() | st.booleans() | NUMBERS | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=3,
)
# All but the first and the last day that Python knows, which are refused.
EACH_DAY: Final = st.dates(date(1, 1, 2), date(9999, 12, 30)).map(str)
DAYS: Final = st.lists(EACH_DAY, min_size=2, max_size=2, unique=True).map(sorted)
PERIODS: Final = DAYS.map(lambda days: Period(start_date=days[0], end_date=days[1]))
TIMEOUTS: Final = st.integers(10**6, 7 * 86_400 * 10**6).map(
    lambda microseconds: Duration(seconds=microseconds // 10**6, nanos=microseconds % 10**6 * 1000)
)
STARTS: Final = st.fixed_dictionaries(
    {"session_name": TEXT.filter(len), "heartbeat_timeout": TIMEOUTS},
    optional={"training_data_period": PERIODS, "validation_data_period": PERIODS, "hyperparameters": STRUCTS},
)
ENDS: Final = st.fixed_dictionaries({"model_artifacts_path": TEXT}, optional={"final_performance": STRUCTS})
EPISODES: Final = st.fixed_dictionaries(
    {
        "total_reward": st.floats(allow_nan=False, allow_infinity=False),
        "episode_length": st.integers(0, 2**31 - 1),
        "final_portfolio_value": st.just("") | st.from_regex(r"-?[1-9][0-9]{0,8}(\.[0-9]{0,5}[1-9])?", fullmatch=True),
        "max_drawdown": st.none() | st.floats(0, allow_infinity=False),
        "actions_taken": st.lists(NUMBERS, max_size=5),
        "rewards": st.lists(NUMBERS, max_size=5),
        "episode_end_reason": TEXT,
    }
)
# Some of these are accepted.
ANYTHING: Final = st.fixed_dictionaries(
    {},
    optional={
        "session_id": st.sampled_from(["", "x", "\0", str(uuid.uuid4())]),
        "episode_number": st.integers(-(2**31), 2**31 - 1),
        "total_reward": st.none() | st.floats(),
        "episode_length": st.integers(-(2**31), 2**31 - 1),
        "final_portfolio_value": st.text(max_size=12) | st.floats().map(str),
        "max_drawdown": st.floats(),
        "rewards": st.lists(st.floats(), max_size=3),
        "episode_end_reason": st.text(max_size=60),
    },
)


@BOUNDED
@given(start=STARTS, end=ENDS)
async def test_a_session_is_read_as_it_was_written(database: str, start: dict[str, Any], end: dict[str, Any]) -> None:
    async with an_exchange(database) as channel:
        stub, request = TrainingServiceStub(channel), a_start(await an_active_model(channel), **start)
        for duplicate in (False, True):
            assert (await stub.StartTrainingSession(request)).duplicate is duplicate
        ending = pb.CompleteTrainingSessionRequest(session_id=request.session_id, **end)
        for _ in range(2):
            await stub.CompleteTrainingSession(ending)
        session = await the_session(channel, request.session_id)
        for sent in (request, ending):
            for field in {*sent.DESCRIPTOR.fields_by_name} - {"stopped"}:
                assert getattr(session, field) == getattr(sent, field), field
        listed = await stub.ListTrainingSessions(pb.ListTrainingSessionsRequest(model_id=request.model_id))
        assert listed.sessions == [session]


@BOUNDED
@given(contents=st.lists(EPISODES, min_size=1, max_size=20))
async def test_episodes_are_read_as_they_were_written(database: str, contents: list[dict[str, Any]]) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        episodes = [an_episode(session_id, number, **content) for number, content in enumerate(contents, 1)]
        for duplicates in (0, len(episodes)):
            assert await add(channel, episodes) == (len(episodes), duplicates)
        stored = await the_episodes(channel, session_id)
        for episode in stored:
            episode.ClearField("create_time")
        assert stored == episodes


@BOUNDED
@given(contents=st.lists(ANYTHING, min_size=1, max_size=20))
async def test_a_refused_episode_says_why_and_is_not_written(database: str, contents: list[dict[str, Any]]) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        for number, content in enumerate(contents, 1):
            before = await execute(database, COUNT)
            episode = an_episode(**{"session_id": session_id, "number": number, **content})
            if (reason := await reason_to_refuse(add(channel, [episode]))) is not None:
                assert reason in {"INVALID_FIELD", "TRAINING_SESSION_NOT_FOUND", "EPISODE_EXISTS"}
                assert await execute(database, COUNT) == before


async def reason_to_refuse(call: Awaitable[object]) -> str | None:
    """Why the call is refused, if it is."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return details(error).reason
    return None
