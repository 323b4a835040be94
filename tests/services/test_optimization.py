"""Optimization runs, as an optimizer and those who watch it use them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import timedelta
from itertools import chain
from typing import Any, Final

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from ai_grpc.exchange.events import duration_of
from ai_grpc.v1 import optimization_pb2 as pb
from ai_grpc.v1.optimization_pb2_grpc import OptimizationServiceStub
from tests.exchange.test_events import BOUNDED
from tests.optimization import (
    MEMBERS,
    NUMBERS,
    TEXT,
    VALUES,
    a_generation,
    a_run,
    a_running_run,
    an_individual,
    the_run,
)
from tests.signals import (
    a_struct,
    a_struct_of,
    an_active_model,
    an_exchange,
    details,
    execute,
    reason,
    refusal,
    sort_always,
)

UNKNOWN: Final = str(uuid.uuid4())
BODY: Final[dict[str, Any]] = {
    "optimization_type": "portfolio_optimization",
    "objective_function": "max_drawdown",
    "direction": pb.FITNESS_DIRECTION_MINIMIZE,
    "population_size": 50,
    "generations": 20,
    "parameter_ranges": {"sma_short": [5, 50], "rsi_period": {"low": 5, "high": 30, "step": 0.5}},
    "heartbeat_timeout": Duration(seconds=90),
}
NESTED: Final[list[Any]] = []
for _ in range(16):
    NESTED[:] = [list(NESTED)]
END: Final[dict[str, Any]] = {
    "best_individual": {"sma_short": 12, "sma_long": 31},
    "best_fitness": 2.5075,
    "convergence_data": {"best": [1.5, 2.25, 2.5075], "converged": True},
    "final_population": [{"genes": {"sma_short": 12}, "fitness": 2.5075}, [1, None, "x"], 3],
}

START_FAULTS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"run_id": ""}, "run_id"),
    ({"run_id": "run-1"}, "run_id"),
    ({"model_id": ""}, "model_id"),
    ({"optimization_type": ""}, "optimization_type"),
    ({"optimization_type": "x" * 51}, "optimization_type"),
    ({"objective_function": ""}, "objective_function"),
    ({"objective_function": "a\0b"}, "objective_function"),
    ({"direction": 3}, "direction"),
    ({"population_size": -1}, "population_size"),
    ({"generations": -1}, "generations"),
    ({"parameter_ranges": {"text": "x" * 65_536}}, "parameter_ranges"),
    ({"parameter_ranges": {"low": float("inf")}}, "parameter_ranges"),
    ({"heartbeat_timeout": Duration()}, "heartbeat_timeout"),
    ({"heartbeat_timeout": Duration(seconds=7 * 86_400 + 1)}, "heartbeat_timeout"),
]
END_FAULTS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"best_individual": {"text": "x" * 65_536}}, "best_individual"),
    ({"best_fitness": float("nan")}, "best_fitness"),
    ({"convergence_data": {"text": "x" * 1_048_576}}, "convergence_data"),
    ({"final_population": ["x" * 1_048_576]}, "final_population"),
    ({"final_population": [float("nan")]}, "final_population"),
    ({"final_population": NESTED}, "final_population"),
]
FAULTS: Final[list[tuple[str, Message, str]]] = [
    ("FailOptimizationRun", pb.FailOptimizationRunRequest(run_id=UNKNOWN), "error_message"),
    ("HeartbeatOptimizationRun", pb.HeartbeatOptimizationRunRequest(run_id="1"), "run_id"),
    ("GetOptimizationRun", pb.GetOptimizationRunRequest(), "run_id"),
    ("RequestOptimizationStop", pb.RequestOptimizationStopRequest(run_id="1"), "run_id"),
    ("ListOptimizationRuns", pb.ListOptimizationRunsRequest(page_size=-1), "page_size"),
    ("ListOptimizationRuns", pb.ListOptimizationRunsRequest(page_token="next"), "page_token"),
    ("ListOptimizationRuns", pb.ListOptimizationRunsRequest(model_id="1"), "model_id"),
    ("ListIndividuals", pb.ListIndividualsRequest(run_id="1"), "run_id"),
    ("GetConvergence", pb.GetConvergenceRequest(run_id="1"), "run_id"),
]
OF_A_RUN: Final[list[tuple[str, Callable[[str], Message]]]] = [
    ("HeartbeatOptimizationRun", lambda run_id: pb.HeartbeatOptimizationRunRequest(run_id=run_id)),
    ("RecordGeneration", lambda run_id: a_generation(run_id, 0, 1.0)),
    ("CompleteOptimizationRun", lambda run_id: pb.CompleteOptimizationRunRequest(run_id=run_id)),
    ("FailOptimizationRun", lambda run_id: pb.FailOptimizationRunRequest(run_id=run_id, error_message="Gave up.")),
    ("RequestOptimizationStop", lambda run_id: pb.RequestOptimizationStopRequest(run_id=run_id)),
    ("GetOptimizationRun", lambda run_id: pb.GetOptimizationRunRequest(run_id=run_id)),
    ("ListIndividuals", lambda run_id: pb.ListIndividualsRequest(run_id=run_id)),
    ("GetConvergence", lambda run_id: pb.GetConvergenceRequest(run_id=run_id)),
]


def same(one: Message, other: Message, *names: str) -> bool:
    """Whether the messages agree in the fields, by default all those that both have."""
    common = [name for name in one.DESCRIPTOR.fields_by_name if name in other.DESCRIPTOR.fields_by_name]
    return all(getattr(one, name) == getattr(other, name) for name in names or common)


async def test_a_run_is_read_as_it_was_started(database: str) -> None:
    async with an_exchange(database) as channel:
        stub, request = OptimizationServiceStub(channel), a_run(await an_active_model(channel), **BODY)
        started = await stub.StartOptimizationRun(request)
        assert not started.duplicate
        assert same(request, started.run)
        assert (started.run.state, started.run.stop_requested) == (pb.OPTIMIZATION_STATE_RUNNING, False)
        assert not any(started.run.HasField(name) for name in ("best_fitness", "best_individual", "end_time"))
        assert (await stub.GetOptimizationRun(pb.GetOptimizationRunRequest(run_id=request.run_id))).run == started.run
        assert (await stub.ListOptimizationRuns(pb.ListOptimizationRunsRequest())).runs == [started.run]


@BOUNDED
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "optimization_type": TEXT.filter(bool),
            "objective_function": TEXT.filter(bool),
            "direction": st.sampled_from([pb.FITNESS_DIRECTION_MAXIMIZE, pb.FITNESS_DIRECTION_MINIMIZE]),
            "population_size": st.integers(0, 2**31 - 1),
            "generations": st.integers(0, 2**31 - 1),
            "parameter_ranges": MEMBERS,
            "heartbeat_timeout": st.integers(10**6, 6 * 10**11).map(lambda count: duration_of(count / 10**6)),
        },
    ),
    st.fixed_dictionaries(
        {"best_individual": MEMBERS, "best_fitness": NUMBERS},
        optional={"convergence_data": MEMBERS, "final_population": st.lists(VALUES, max_size=3)},
    ),
)
async def test_any_run_is_read_as_it_was_started_and_ended(
    database: str, start: dict[str, Any], end: dict[str, Any]
) -> None:
    async with an_exchange(database) as channel:
        stub, started = OptimizationServiceStub(channel), a_run(await an_active_model(channel), **start)
        await stub.StartOptimizationRun(started)
        assert (await stub.StartOptimizationRun(started)).duplicate
        ended = pb.CompleteOptimizationRunRequest(run_id=started.run_id, **end)
        await stub.CompleteOptimizationRun(ended)
        run = (await stub.GetOptimizationRun(pb.GetOptimizationRunRequest(run_id=started.run_id))).run
        for request in (started, ended):
            assert same(request, run, *(field.name for field, _ in request.ListFields()))


async def test_what_is_unset_is_as_the_contract_says(database: str) -> None:
    async with an_exchange(database) as channel:
        request = a_run(await an_active_model(channel))
        run = (await OptimizationServiceStub(channel).StartOptimizationRun(request)).run
        assert (run.direction, run.heartbeat_timeout.seconds) == (pb.FITNESS_DIRECTION_MAXIMIZE, 300)
        assert (run.population_size, run.generations, run.HasField("parameter_ranges")) == (0, 0, False)


async def test_starting_again_returns_the_first_run_and_other_content_is_refused(
    database: str, subtests: pytest.Subtests
) -> None:
    async with an_exchange(database) as channel:
        stub, request = OptimizationServiceStub(channel), a_run(await an_active_model(channel), **BODY)
        first = await stub.StartOptimizationRun(request)
        again = await stub.StartOptimizationRun(request)
        assert (again.duplicate, again.run) == (True, first.run)
        changes: dict[str, Any] = {
            "model_id": await an_active_model(channel),
            "optimization_type": "parameter_optimization",
            "objective_function": "total_return",
            "direction": pb.FITNESS_DIRECTION_MAXIMIZE,
            "population_size": 51,
            "generations": 21,
            "parameter_ranges": {},
            "heartbeat_timeout": Duration(seconds=91),
        }
        for field, value in changes.items():
            with subtests.test(field):
                other = a_run(**{**BODY, "run_id": request.run_id, "model_id": request.model_id, field: value})
                error = await refusal(stub.StartOptimizationRun(other))
                assert error.code() == grpc.StatusCode.ALREADY_EXISTS
                assert details(error)[:2] == ("OPTIMIZATION_RUN_EXISTS", {"run_id": request.run_id})
        assert (await stub.ListOptimizationRuns(pb.ListOptimizationRunsRequest())).runs == [first.run]


async def test_a_run_ends_with_what_the_optimizer_found(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        stub = OptimizationServiceStub(channel)
        request = pb.CompleteOptimizationRunRequest(run_id=await a_running_run(channel), **END)
        ended = (await stub.CompleteOptimizationRun(request)).run
        assert same(request, ended)
        assert ended.state == pb.OPTIMIZATION_STATE_COMPLETED
        assert ended.end_time.ToMicroseconds() >= ended.start_time.ToMicroseconds()
        assert (await stub.CompleteOptimizationRun(request)).run == ended
        others: dict[str, Any] = {
            "best_individual": {"sma_short": 13},
            "best_fitness": 3.5075,
            "convergence_data": None,
            "final_population": [],
            "stopped": True,
        }
        for field, value in others.items():
            with subtests.test(field):
                other = pb.CompleteOptimizationRunRequest(**{"run_id": request.run_id, **END, field: value})
                assert reason(await refusal(stub.CompleteOptimizationRun(other))) == "OPTIMIZATION_RUN_ENDED"
        assert (await stub.CompleteOptimizationRun(request)).run == ended
        # A list would be long with these.
        listed = (await stub.ListOptimizationRuns(pb.ListOptimizationRunsRequest())).runs[0]
        assert not listed.HasField("convergence_data")
        assert not listed.HasField("final_population")
        assert listed.best_individual == a_struct(**END["best_individual"])


async def test_the_best_generation_recorded_is_the_result_unless_one_is_given(database: str) -> None:
    async with an_exchange(database) as channel:
        stub = OptimizationServiceStub(channel)
        for direction, best in ((pb.FITNESS_DIRECTION_MAXIMIZE, 4.0), (pb.FITNESS_DIRECTION_MINIMIZE, -2.0)):
            run_id = await a_running_run(channel, direction=direction)
            for number, fitness in ((1, (1.0, 4.0)), (0, (3.0, -2.0)), (2, (2.0,))):
                await stub.RecordGeneration(a_generation(run_id, number, *fitness))
            living = (await stub.GetOptimizationRun(pb.GetOptimizationRunRequest(run_id=run_id))).run
            ended = (await stub.CompleteOptimizationRun(pb.CompleteOptimizationRunRequest(run_id=run_id))).run
            for run in (living, ended):
                assert (run.best_fitness, run.best_individual) == (best, a_struct(gene=best))


async def test_what_is_as_large_as_it_may_be_is_stored(database: str) -> None:
    start: dict[str, Any] = {
        "optimization_type": "€" * 50,
        "objective_function": "€" * 50,
        "parameter_ranges": a_struct_of(65_536),
        "heartbeat_timeout": Duration(seconds=7 * 86_400),
    }
    result: dict[str, Any] = {
        "best_individual": a_struct_of(65_536),
        "convergence_data": a_struct_of(491_520),
        "final_population": ["x" * (491_520 - len('[""]'))],
    }
    async with an_exchange(database) as channel:
        stub, run_id = OptimizationServiceStub(channel), await a_running_run(channel, **start)
        large = an_individual(genes=a_struct_of(65_536), objectives=a_struct_of(65_536))
        await stub.RecordGeneration(a_generation(run_id, 0, individuals=[large]))
        ended = (await stub.CompleteOptimizationRun(pb.CompleteOptimizationRunRequest(run_id=run_id, **result))).run
        assert same(pb.OptimizationRun(**start, **result), ended, *start, *result)
        failed = pb.FailOptimizationRunRequest(run_id=await a_running_run(channel), error_message="€" * 10_000)
        assert (await stub.FailOptimizationRun(failed)).run.error_message == failed.error_message


@pytest.mark.parametrize("given", [{"best_fitness": 9.0}, {"best_individual": {"gene": 9.0}}])
async def test_half_of_a_best_is_not_completed_by_that_of_another(database: str, given: dict[str, Any]) -> None:
    async with an_exchange(database) as channel:
        stub, run_id = OptimizationServiceStub(channel), await a_running_run(channel)
        await stub.RecordGeneration(a_generation(run_id, 0, 1.0))
        request = pb.CompleteOptimizationRunRequest(run_id=run_id, **given)
        for _ in range(2):
            run = (await stub.CompleteOptimizationRun(request)).run
            assert same(request, run, "best_fitness", "best_individual")
            assert [run.HasField(name) for name in ("best_fitness", "best_individual")] == [
                name in given for name in ("best_fitness", "best_individual")
            ]


async def test_of_equals_the_first_recorded_is_the_best(database: str) -> None:
    async with an_exchange(database) as channel:
        stub, run_id = OptimizationServiceStub(channel), await a_running_run(channel)
        for number in range(2):
            equal = [an_individual(2.0, genes={"place": -10 * number - place}) for place in range(5)]
            recorded = (await stub.RecordGeneration(a_generation(run_id, number, individuals=equal))).generation
            assert recorded.best_individual == equal[0].genes
        assert (await the_run(channel, run_id)).best_individual == a_struct(place=0)


async def test_a_stop_is_read_with_the_heartbeat_and_ends_the_run_as_stopped(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database) as other:
        optimizer, watcher = OptimizationServiceStub(one), OptimizationServiceStub(other)
        run_id = await a_running_run(one)
        heartbeat = pb.HeartbeatOptimizationRunRequest(run_id=run_id)
        assert not (await optimizer.HeartbeatOptimizationRun(heartbeat)).stop_requested
        for _ in range(2):
            asked = await watcher.RequestOptimizationStop(pb.RequestOptimizationStopRequest(run_id=run_id))
            assert (asked.run.stop_requested, asked.run.state) == (True, pb.OPTIMIZATION_STATE_RUNNING)
        assert (await optimizer.HeartbeatOptimizationRun(heartbeat)).stop_requested
        assert (await optimizer.RecordGeneration(a_generation(run_id, 0, 1.0))).stop_requested
        stopped = pb.CompleteOptimizationRunRequest(run_id=run_id, stopped=True)
        for _ in range(2):
            run = (await optimizer.CompleteOptimizationRun(stopped)).run
            assert (run.state, run.best_fitness) == (pb.OPTIMIZATION_STATE_STOPPED, 1.0)


async def test_a_failed_run_says_why_and_keeps_its_best(database: str) -> None:
    async with an_exchange(database) as channel:
        stub = OptimizationServiceStub(channel)
        run_id = await a_running_run(channel)
        await stub.RecordGeneration(a_generation(run_id, 0, 1.0))
        request = pb.FailOptimizationRunRequest(run_id=run_id, error_message="Out of memory.")
        for _ in range(2):
            run = (await stub.FailOptimizationRun(request)).run
            assert (run.state, run.error_message) == (pb.OPTIMIZATION_STATE_FAILED, "Out of memory.")
            assert (run.best_fitness, run.best_individual) == (1.0, a_struct(gene=1.0))
        request.error_message = "Out of time."
        assert reason(await refusal(stub.FailOptimizationRun(request))) == "OPTIMIZATION_RUN_ENDED"


async def test_nothing_goes_on_in_a_run_that_has_ended(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        stub, run_id = OptimizationServiceStub(channel), await a_running_run(channel)
        stopped = pb.CompleteOptimizationRunRequest(run_id=run_id, stopped=True)
        before = (await stub.CompleteOptimizationRun(stopped)).run
        for method, request in OF_A_RUN[:5]:
            with subtests.test(method):
                error = await refusal(getattr(stub, method)(request(run_id)))
                assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
                assert details(error)[:2] == ("OPTIMIZATION_RUN_ENDED", {"run_id": run_id, "state": "STOPPED"})
        assert (await stub.GetOptimizationRun(pb.GetOptimizationRunRequest(run_id=run_id))).run == before


async def test_an_unknown_run_or_model_is_not_found(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        stub = OptimizationServiceStub(channel)
        for method, request in OF_A_RUN:
            with subtests.test(method):
                error = await refusal(getattr(stub, method)(request(UNKNOWN)))
                assert error.code() == grpc.StatusCode.NOT_FOUND
                assert details(error)[:2] == ("OPTIMIZATION_RUN_NOT_FOUND", {"run_id": UNKNOWN})
        error = await refusal(stub.StartOptimizationRun(a_run(UNKNOWN)))
        assert error.code() == grpc.StatusCode.NOT_FOUND
        assert details(error)[:2] == ("MODEL_NOT_FOUND", {"model_id": UNKNOWN})


async def test_a_run_whose_heartbeat_stops_is_failed_with_the_reason(database: str) -> None:
    async with an_exchange(database, upkeep_interval=0.05) as channel:
        stub = OptimizationServiceStub(channel)
        silent = await a_running_run(channel, heartbeat_timeout=Duration(seconds=1))
        heard = await a_running_run(channel, heartbeat_timeout=Duration(seconds=5))
        run, age = await the_run(channel, silent), timedelta()
        while run.state == pb.OPTIMIZATION_STATE_RUNNING or age < timedelta(seconds=6):
            await stub.HeartbeatOptimizationRun(pb.HeartbeatOptimizationRunRequest(run_id=heard))
            run, living = await the_run(channel, silent), await the_run(channel, heard)
            age = living.heartbeat_time.ToDatetime() - living.start_time.ToDatetime()
            await asyncio.sleep(0.05)
        assert (run.state, run.error_message) == (pb.OPTIMIZATION_STATE_FAILED, "heartbeat lost: none for 1 s")
        assert run.end_time.ToMicroseconds() - run.heartbeat_time.ToMicroseconds() >= 1_000_000
        await stub.HeartbeatOptimizationRun(pb.HeartbeatOptimizationRunRequest(run_id=heard))


async def test_all_pages_together_hold_every_run_that_is_selected_once(database: str) -> None:
    await sort_always(database)
    async with an_exchange(database) as channel:
        stub, model_id = OptimizationServiceStub(channel), await an_active_model(channel)
        await a_running_run(channel)
        ids = [await a_running_run(channel, model_id=model_id) for _ in range(6)]
        await execute(database, "UPDATE optimization_runs SET start_time = now() WHERE run_id <> $1", ids[0])
        await stub.CompleteOptimizationRun(pb.CompleteOptimizationRunRequest(run_id=ids.pop()))
        request = pb.ListOptimizationRunsRequest(page_size=2, model_id=model_id, state=pb.OPTIMIZATION_STATE_RUNNING)
        pages: list[list[str]] = []
        while not pages or request.page_token:
            response = await stub.ListOptimizationRuns(request)
            pages.append([run.run_id for run in response.runs])
            request.page_token = response.next_page_token
        assert [len(page) for page in pages] == [2, 2, 1]
        assert sorted(chain.from_iterable(pages)) == sorted(ids)
        assert pages[-1] == ids[:1]


async def test_the_field_at_fault_is_named(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        model_id, run_id = await an_active_model(channel), await a_running_run(channel)
        starts = [("StartOptimizationRun", a_run(**{"model_id": model_id, **c}), field) for c, field in START_FAULTS]
        ends = [
            ("CompleteOptimizationRun", pb.CompleteOptimizationRunRequest(run_id=run_id, **c), field)
            for c, field in END_FAULTS
        ]
        long = pb.FailOptimizationRunRequest(run_id=run_id, error_message="x" * 10_001)
        for method, request, field in [*starts, *ends, *FAULTS, ("FailOptimizationRun", long, "error_message")]:
            with subtests.test(method, field=field):
                error = await refusal(getattr(OptimizationServiceStub(channel), method)(request))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, [field])
    rows = await execute(database, "SELECT run_id::text, status FROM optimization_runs")
    assert [tuple(row) for row in rows] == [(run_id, "running")]
