"""The life of a training session, as its trainer and those who watch it see it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import chain
from typing import Any, Final, cast

import asyncpg
import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from ai_grpc.v1 import training_pb2 as pb
from ai_grpc.v1.periods_pb2 import Period
from ai_grpc.v1.training_pb2_grpc import TrainingServiceStub
from tests.signals import a_struct, a_struct_of, an_active_model, an_exchange, details, execute, refusal, sort_always
from tests.training import a_running_session, a_start, the_session

# One row, with whatever is in a column.
WRITE: Final = {
    "training_sessions": """
INSERT INTO training_sessions (model_id, session_name, {}) VALUES (gen_random_uuid(), 's', $1)""",
    "optimization_runs": """
INSERT INTO optimization_runs (model_id, optimization_type, objective_function, {})
VALUES (gen_random_uuid(), 't', 'f', $1)""",
    "optimization_individuals": """
INSERT INTO optimization_individuals (run_id, generation, individual_rank, fitness_score, is_new, {})
VALUES (gen_random_uuid(), 0, 1, 0, TRUE, $1)""",
    "feature_data": """
INSERT INTO feature_data (symbol, timestamp, feature_set_name, raw_data_hash, {})
VALUES ('A', now(), 's', repeat('a', 64), $1)""",
    "rl_episodes": """
INSERT INTO rl_episodes (session_id, episode_number, total_reward, episode_length, rewards, {})
VALUES (gen_random_uuid(), 1, 0, 0, '[]', $1)""",
}
NOBODY: Final = str(uuid.uuid4())
FINAL: Final[dict[str, Any]] = {"total_reward": 295.72, "sharpe_ratio": 1.85, "max_drawdown": 0.12}
BODY: Final[dict[str, Any]] = {
    "training_data_period": Period(start_date="2019-01-01", end_date="2024-01-01"),
    "validation_data_period": Period(start_date="2024-01-01", end_date="2024-07-01"),
    "hyperparameters": a_struct(learning_rate=0.0003, layers=[64, 64], seed=None),
    "heartbeat_timeout": Duration(seconds=90, nanos=500_000_000),
}

Call = Callable[..., Awaitable[Any]]


def completed(session_id: str, **changes: Any) -> pb.CompleteTrainingSessionRequest:
    """The request that completes a session, but for the changes."""
    fields = {"final_performance": a_struct(**FINAL), "model_artifacts_path": "s3://models/1"}
    return pb.CompleteTrainingSessionRequest(session_id=session_id, **{**fields, **changes})


def ends(session_id: str) -> dict[str, Any]:
    """The requests that end a session, by the state in which it is then."""
    return {
        "COMPLETED": completed(session_id),
        "STOPPED": pb.CompleteTrainingSessionRequest(session_id=session_id, stopped=True),
        "FAILED": pb.FailTrainingSessionRequest(session_id=session_id, error_message="out of memory"),
    }


def end(stub: Any, request: Any) -> Awaitable[Any]:
    """Sends such a request."""
    failing = isinstance(request, pb.FailTrainingSessionRequest)
    method = stub.FailTrainingSession if failing else stub.CompleteTrainingSession
    return cast(Awaitable[Any], method(request))


async def test_a_started_session_is_read_as_it_was_given(database: str) -> None:
    async with an_exchange(database) as channel:
        stub, request = TrainingServiceStub(channel), a_start(await an_active_model(channel), **BODY)
        response = await stub.StartTrainingSession(request)
        session = response.session
        assert not response.duplicate
        fields = {name: getattr(session, name) for name in request.DESCRIPTOR.fields_by_name}
        assert pb.StartTrainingSessionRequest(**fields) == request
        assert (session.state, session.stop_requested) == (pb.TRAINING_STATE_RUNNING, False)
        unset = ("training_metrics", "final_performance", "end_time")
        assert not any(session.HasField(cast(Any, name)) for name in unset)
        assert session.start_time.ToMicroseconds() <= session.heartbeat_time.ToMicroseconds()
        assert await the_session(channel, session.session_id) == session


async def test_what_is_left_out_stays_out_but_for_the_timeout(database: str) -> None:
    async with an_exchange(database) as channel:
        session = await the_session(channel, await a_running_session(channel))
        assert not any(session.HasField(cast(Any, name)) for name in BODY if name != "heartbeat_timeout")
        assert session.heartbeat_timeout.ToTimedelta() == timedelta(minutes=5)


async def test_starting_again_returns_the_session_as_it_is_by_now(database: str) -> None:
    async with an_exchange(database) as channel:
        stub, request = TrainingServiceStub(channel), a_start(await an_active_model(channel), **BODY)
        await stub.StartTrainingSession(request)
        await end(stub, ends(request.session_id)["COMPLETED"])
        request.session_id = request.session_id.upper()
        again = await stub.StartTrainingSession(request)
        assert (again.duplicate, again.session.state) == (True, pb.TRAINING_STATE_COMPLETED)


async def test_an_id_is_taken_for_one_content(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        stub, request = TrainingServiceStub(channel), a_start(await an_active_model(channel), **BODY)
        first = (await stub.StartTrainingSession(request)).session
        changes: dict[str, Any] = {
            "model_id": await an_active_model(channel),
            "session_name": "another",
            **dict.fromkeys(("training_data_period", "validation_data_period", "hyperparameters"), None),
            "heartbeat_timeout": Duration(seconds=91),
        }
        for field, value in changes.items():
            with subtests.test(field):
                other = a_start(
                    **{"model_id": request.model_id, **BODY, "session_id": request.session_id, field: value}
                )
                error = await refusal(stub.StartTrainingSession(other))
                assert error.code() == grpc.StatusCode.ALREADY_EXISTS
                assert details(error)[:2] == ("TRAINING_SESSION_EXISTS", {"session_id": request.session_id})
        assert await the_session(channel, request.session_id) == first


async def test_of_concurrent_starts_one_makes_the_session(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database) as other:
        request = a_start(await an_active_model(one))
        stubs = [TrainingServiceStub(one), TrainingServiceStub(other)]
        responses = await asyncio.gather(*(stub.StartTrainingSession(request) for stub in stubs * 5))
        assert sorted(response.duplicate for response in responses) == [False] + [True] * 9


async def test_a_session_of_an_unknown_model_is_not_started(database: str) -> None:
    async with an_exchange(database) as channel:
        error = await refusal(TrainingServiceStub(channel).StartTrainingSession(a_start(NOBODY)))
        assert error.code() == grpc.StatusCode.NOT_FOUND
        assert details(error)[:2] == ("MODEL_NOT_FOUND", {"model_id": NOBODY})


async def test_a_heartbeat_is_remembered_and_brings_the_request_to_stop(database: str) -> None:
    async with an_exchange(database) as channel:
        stub, session_id = TrainingServiceStub(channel), await a_running_session(channel)
        before = await the_session(channel, session_id)
        beat = pb.HeartbeatTrainingSessionRequest(session_id=session_id)
        assert not (await stub.HeartbeatTrainingSession(beat)).stop_requested
        after = await the_session(channel, session_id)
        assert after.heartbeat_time.ToMicroseconds() > before.heartbeat_time.ToMicroseconds()
        for _ in range(2):
            asked = await stub.RequestTrainingStop(pb.RequestTrainingStopRequest(session_id=session_id))
            assert (asked.session.state, asked.session.stop_requested) == (pb.TRAINING_STATE_RUNNING, True)
            assert (await stub.HeartbeatTrainingSession(beat)).stop_requested
        append = pb.AppendTrainingMetricsRequest(session_id=session_id)
        assert (await stub.AppendTrainingMetrics(append)).stop_requested


@pytest.mark.parametrize("state", ["COMPLETED", "STOPPED", "FAILED"])
async def test_a_session_that_has_ended_stays_as_it_is(database: str, state: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        stub, session_id = TrainingServiceStub(channel), await a_running_session(channel)
        requests = ends(session_id)
        ended = (await end(stub, requests[state])).session
        assert ended.state == pb.TrainingState.Value(f"TRAINING_STATE_{state}")
        assert ended.end_time.ToMicroseconds() > ended.start_time.ToMicroseconds()
        assert (await end(stub, requests[state])).session == ended
        refused: dict[str, Awaitable[Any]] = {
            **{f"end as {other}": end(stub, request) for other, request in requests.items() if other != state},
            "other performance": end(stub, completed(session_id, final_performance=a_struct(sharpe_ratio=9))),
            "other path": end(stub, completed(session_id, model_artifacts_path="s3://models/2")),
            "other reason": stub.FailTrainingSession(
                pb.FailTrainingSessionRequest(session_id=session_id, error_message="another")
            ),
            "beat": stub.HeartbeatTrainingSession(pb.HeartbeatTrainingSessionRequest(session_id=session_id)),
            "append": stub.AppendTrainingMetrics(pb.AppendTrainingMetricsRequest(session_id=session_id)),
            "ask to stop": stub.RequestTrainingStop(pb.RequestTrainingStopRequest(session_id=session_id)),
        }
        for name, call in refused.items():
            with subtests.test(name):
                error = await refusal(call)
                assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
                assert details(error)[:2] == ("TRAINING_SESSION_ENDED", {"session_id": session_id, "state": state})
        assert await the_session(channel, session_id) == ended


async def test_an_end_says_what_came_of_it(database: str) -> None:
    async with an_exchange(database) as channel:
        stub = TrainingServiceStub(channel)
        ids = [await a_running_session(channel) for _ in range(3)]
        completed, _, _ = [(await end(stub, ends(ids[0])["COMPLETED"])).session for _ in range(3)]
        assert (dict(completed.final_performance), completed.model_artifacts_path) == (FINAL, "s3://models/1")
        failed = (await end(stub, ends(ids[1])["FAILED"])).session
        assert failed.error_message == "out of memory"
        await stub.RequestTrainingStop(pb.RequestTrainingStopRequest(session_id=ids[2]))
        stopped = (await end(stub, ends(ids[2])["STOPPED"])).session
        asked = await stub.RequestTrainingStop(pb.RequestTrainingStopRequest(session_id=ids[2]))
        assert asked.session == stopped


async def test_what_is_as_large_as_it_may_be_is_stored(database: str) -> None:
    start: dict[str, Any] = {
        "session_name": "€" * 100,
        "hyperparameters": a_struct_of(65_536),
        "heartbeat_timeout": Duration(seconds=7 * 86_400),
    }
    result: dict[str, Any] = {"final_performance": a_struct_of(65_536), "model_artifacts_path": "€" * 1000}
    series = [{"name": f"{number:€>100}", "values": [number]} for number in range(100)]
    async with an_exchange(database) as channel:
        stub, session_id = TrainingServiceStub(channel), await a_running_session(channel, **start)
        append = pb.AppendTrainingMetricsRequest(session_id=session_id, series=cast(Any, series))
        await stub.AppendTrainingMetrics(append)
        ended = (await end(stub, completed(session_id, **result))).session
        assert {name: getattr(ended, name) for name in {**start, **result}} == {**start, **result}
        assert len(ended.training_metrics.fields) == 100
        failed = pb.FailTrainingSessionRequest(session_id=await a_running_session(channel), error_message="€" * 10_000)
        assert (await end(stub, failed)).session.error_message == failed.error_message


async def test_of_two_ends_at_once_one_counts(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database) as other:
        session_id = await a_running_session(one)
        requests = ends(session_id)
        outcomes = await asyncio.gather(
            end(TrainingServiceStub(one), requests["COMPLETED"]),
            end(TrainingServiceStub(other), requests["FAILED"]),
            return_exceptions=True,
        )
        won = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        [lost] = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
        assert details(lost).reason == "TRAINING_SESSION_ENDED"
        assert [response.session for response in won] == [await the_session(one, session_id)]


async def test_an_unknown_session_is_not_found(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        stub = TrainingServiceStub(channel)
        calls: list[Awaitable[Any]] = [
            stub.GetTrainingSession(pb.GetTrainingSessionRequest(session_id=NOBODY)),
            stub.HeartbeatTrainingSession(pb.HeartbeatTrainingSessionRequest(session_id=NOBODY)),
            stub.AppendTrainingMetrics(pb.AppendTrainingMetricsRequest(session_id=NOBODY)),
            stub.RequestTrainingStop(pb.RequestTrainingStopRequest(session_id=NOBODY)),
            stub.ListEpisodes(pb.ListEpisodesRequest(session_id=NOBODY)),
            *(end(stub, request) for request in ends(NOBODY).values()),
        ]
        for number, call in enumerate(calls):
            with subtests.test(str(number)):
                error = await refusal(call)
                assert error.code() == grpc.StatusCode.NOT_FOUND
                assert details(error)[:2] == ("TRAINING_SESSION_NOT_FOUND", {"session_id": NOBODY})


async def test_sql_cannot_write_what_no_message_could_hold(database: str, subtests: pytest.Subtests) -> None:
    for table, column, value in (
        ("training_sessions", "hyperparameters", "[1]"),
        ("training_sessions", "training_metrics", "3"),
        ("optimization_runs", "best_individual", '"x"'),
        ("optimization_runs", "final_population", "{}"),
        ("optimization_individuals", "genes", "[1]"),
        ("feature_data", "features", "[150.25, 65.8]"),
        ("rl_episodes", "actions_taken", '["buy", "sell"]'),
    ):
        with subtests.test(table, column=column), pytest.raises(asyncpg.CheckViolationError) as refused:
            await execute(database, WRITE[table].format(column), value)
        assert str(refused.value.constraint_name).startswith(f"{column}_is_an_")


async def test_a_period_reads_the_same_whatever_the_style_of_dates(database: str) -> None:
    await execute(database, f"ALTER DATABASE {database.rpartition('/')[2]} SET datestyle = 'SQL, DMY'")
    [row] = await execute(database, "SELECT period_message('[2026-01-31,2026-02-01)') AS days")
    assert json.loads(row["days"]) == {"start_date": "2026-01-31", "end_date": "2026-02-01"}


async def test_a_list_holds_what_all_its_fields_select_the_latest_first(database: str) -> None:
    async with an_exchange(database) as channel:
        stub = TrainingServiceStub(channel)
        one, two = [await an_active_model(channel) for _ in range(2)]
        first, second, third = [await a_running_session(channel, model_id=model) for model in (one, two, one)]
        await end(stub, ends(third)["FAILED"])
        selections: list[tuple[dict[str, Any], list[str]]] = [
            ({}, [third, second, first]),
            ({"model_id": one}, [third, first]),
            ({"model_id": one.upper(), "state": pb.TRAINING_STATE_RUNNING}, [first]),
            ({"state": pb.TRAINING_STATE_RUNNING}, [second, first]),
            ({"state": pb.TRAINING_STATE_STOPPED}, []),
            ({"model_id": NOBODY}, []),
        ]
        for selection, expected in selections:
            response = await stub.ListTrainingSessions(pb.ListTrainingSessionsRequest(**selection))
            assert [session.session_id for session in response.sessions] == expected


async def test_all_pages_together_hold_every_session_once(database: str) -> None:
    await sort_always(database)
    async with an_exchange(database) as channel:
        stub, model = TrainingServiceStub(channel), await an_active_model(channel)
        ids = [await a_running_session(channel, model_id=model) for _ in range(7)]
        await execute(database, "UPDATE training_sessions SET start_time = now() WHERE session_id <> $1", ids[0])
        request = pb.ListTrainingSessionsRequest(page_size=3, model_id=model)
        pages: list[list[str]] = []
        while not pages or request.page_token:
            response = await stub.ListTrainingSessions(request)
            pages.append([session.session_id for session in response.sessions])
            request.page_token = response.next_page_token
        assert [len(page) for page in pages] == [3, 3, 1]
        assert sorted(chain.from_iterable(pages)) == sorted(ids)
        assert pages[-1] == ids[:1]
