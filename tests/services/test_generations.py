"""Generations: what an optimizer records of each, and what is read of individuals and of convergence."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

import asyncpg
import grpc
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given
from hypothesis import strategies as st

from ai_grpc.v1 import optimization_pb2 as pb
from ai_grpc.v1.optimization_pb2_grpc import OptimizationServiceStub
from tests.exchange.test_events import BOUNDED
from tests.faults.database import administrator, until_waiting
from tests.optimization import MEMBERS, NUMBERS, a_generation, a_running_run, an_individual, individuals_of, scores
from tests.signals import PATIENT, a_struct, an_exchange, details, execute, refusal

# As the specification has it.
EXAMPLE: Final[dict[str, Any]] = {
    "genes": {"sma_short": 12, "sma_long": 31, "rsi_period": 20, "rsi_oversold": 31, "rsi_overbought": 73},
    "fitness_score": 2.5075,
}
BIG: Final = {"text": "x" * 65_536}
INFINITY: Final = float("inf")

TIED: Final = """
SELECT g.*
FROM (
  SELECT array_agg(jsonb_build_object('gene', $2::int * 1000 + n)) AS genes, array_agg(-1e9::float8) AS fitness,
    array_agg(NULL::jsonb) AS objectives
  FROM generate_series(1, 200) AS n
) AS made, record_generation($1, $2, NULL, NULL, NULL, NULL, made.genes, made.fitness, made.objectives) AS g
"""
FAULTS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"run_id": ""}, "run_id"),
    ({"run_id": "run-1"}, "run_id"),
    ({"generation": -1}, "generation"),
    ({"best_fitness": INFINITY}, "best_fitness"),
    ({"best_individual": {"gene": 1}}, "best_fitness"),
    ({"individuals": []}, "best_fitness"),
    ({"average_fitness": float("nan")}, "average_fitness"),
    ({"population_diversity": -0.5}, "population_diversity"),
    ({"population_diversity": INFINITY}, "population_diversity"),
    ({"best_individual": BIG, "best_fitness": 1.0}, "best_individual"),
    ({"best_individual": {"gene": INFINITY}, "best_fitness": 1.0}, "best_individual"),
    ({"individuals": [an_individual()] * 1001}, "individuals"),
    ({"individuals": [an_individual(), an_individual(fitness_score=None)]}, "individuals[1].fitness_score"),
    ({"individuals": [*[an_individual()] * 6, an_individual(-INFINITY, genes={})]}, "individuals[6].fitness_score"),
    ({"individuals": [an_individual(float("nan"), genes={}), an_individual()]}, "individuals[0].fitness_score"),
    ({"individuals": [an_individual(), an_individual(), an_individual(genes=None)]}, "individuals[2].genes"),
    ({"individuals": [an_individual(), an_individual(genes=BIG), an_individual()]}, "individuals[1].genes"),
    ({"individuals": [an_individual(), an_individual(genes={"gene": INFINITY})]}, "individuals[1].genes"),
    ({"individuals": [an_individual(), an_individual(individual_rank=1)]}, "individuals[1].individual_rank"),
    ({"individuals": [an_individual(), an_individual(objectives=BIG)]}, "individuals[1].objectives"),
    ({"individuals": [an_individual()] * 3, "generation": -1}, "generation"),
]


async def test_the_individual_of_the_specification_comes_out_as_it_went_in(database: str) -> None:
    async with an_exchange(database) as channel:
        run_id, individual = await a_running_run(channel), ParseDict(EXAMPLE, pb.Individual())
        request = a_generation(run_id, 3, individuals=[individual])
        recorded = await OptimizationServiceStub(channel).RecordGeneration(request)
        (stored,) = await individuals_of(channel, run_id)
        assert (stored.generation, stored.individual_rank) == (3, 1)
        read = MessageToDict(stored, preserving_proto_field_name=True)
        assert {name: read[name] for name in EXAMPLE} == EXAMPLE
        assert not stored.HasField("objectives")
        assert (recorded.generation.best_fitness, recorded.generation.best_individual) == (2.5075, individual.genes)


async def test_what_is_unset_is_computed_from_the_individuals(database: str) -> None:
    async with an_exchange(database) as channel:
        stub = OptimizationServiceStub(channel)
        for direction, best in ((pb.FITNESS_DIRECTION_MAXIMIZE, 0.3), (pb.FITNESS_DIRECTION_MINIMIZE, 0.1)):
            run_id = await a_running_run(channel, direction=direction)
            response = await stub.RecordGeneration(a_generation(run_id, 0, 0.2, 0.1, 0.3, 0.1))
            generation = response.generation
            assert (response.duplicate, generation.individual_count) == (False, 4)
            assert (generation.best_fitness, generation.best_individual) == (best, a_struct(gene=best))
            # As exact as a double is: 0.2 + 0.1 + 0.3 + 0.1 would not be 0.7.
            assert (generation.average_fitness, generation.population_diversity) == (0.175, 0.75)
            genes = [an_individual(score, genes={"gene": gene}) for score, gene in ((1, 1), (1, 2), (1, 3), (2, 1))]
            generation = (await stub.RecordGeneration(a_generation(run_id, 1, individuals=genes))).generation
            assert generation.population_diversity == 0.75


async def test_what_is_given_is_kept(database: str) -> None:
    async with an_exchange(database) as channel:
        given: dict[str, Any] = {
            "best_fitness": 9.5,
            "average_fitness": 1.25,
            "population_diversity": 12.5,
            "best_individual": {"gene": 9.5},
        }
        stub, run_id = OptimizationServiceStub(channel), await a_running_run(channel)
        for number, fitness in enumerate(((), (1.0, 2.0))):
            generation = (await stub.RecordGeneration(a_generation(run_id, number, *fitness, **given))).generation
            assert generation == pb.Generation(
                run_id=run_id,
                model_id=generation.model_id,
                generation=number,
                individual_count=len(fitness),
                create_time=generation.create_time,
                **given,
            )
        bare = (await stub.RecordGeneration(a_generation(run_id, 2, best_fitness=1.0))).generation
        expected = {"run_id", "model_id", "generation", "best_fitness", "create_time"}
        assert {field.name for field, _ in bare.ListFields()} == expected


async def test_a_thousand_individuals_are_one_generation(database: str) -> None:
    async with an_exchange(database) as channel:
        stub, run_id = OptimizationServiceStub(channel), await a_running_run(channel)
        fitness = [float(number) for number in range(1000)]
        generation = (await stub.RecordGeneration(a_generation(run_id, 0, *fitness))).generation
        assert (generation.individual_count, generation.average_fitness) == (1000, 499.5)
        whole = pb.ListIndividualsRequest(page_size=1000, run_id=run_id, generation=0)
        assert scores((await stub.ListIndividuals(whole)).individuals) == fitness[::-1]


async def test_a_mean_neither_overflows_nor_underflows(database: str) -> None:
    async with an_exchange(database) as channel:
        stub, run_id = OptimizationServiceStub(channel), await a_running_run(channel)
        for number, (fitness, mean) in enumerate((((1.7e308, 1.7e308), 1.7e308), ((5e-324, 0.0, 0.0), 0.0))):
            generation = (await stub.RecordGeneration(a_generation(run_id, number, *fitness))).generation
            assert generation.average_fitness == mean


async def test_recording_again_changes_nothing_even_when_the_run_has_ended(database: str) -> None:
    async with an_exchange(database) as channel:
        stub, run_id = OptimizationServiceStub(channel), await a_running_run(channel)
        request = a_generation(run_id, 1, 1.0, 2.0)
        first = await stub.RecordGeneration(request)
        await stub.CompleteOptimizationRun(pb.CompleteOptimizationRunRequest(run_id=run_id))
        again = await stub.RecordGeneration(request)
        assert (again.duplicate, again.generation) == (True, first.generation)
        assert scores(await individuals_of(channel, run_id)) == [2.0, 1.0]


async def test_a_fitness_that_many_share_costs_the_next_generation_nothing(database: str) -> None:
    async with an_exchange(database) as channel:
        run_id = await a_running_run(channel)
    connection = await asyncpg.connect(database, server_settings={"search_path": "ai_trading"}, timeout=10)
    try:
        for number in range(5):
            await connection.execute(TIED, run_id, number)
        await connection.execute("SELECT pg_stat_force_next_flush()")
        read = "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'optimization_individuals'"
        # By its fitness, each individual would have met all that share it: 400,000 in all.
        assert await connection.fetchval(read) < 40_000
    finally:
        await connection.close(timeout=10)


async def test_another_content_of_a_generation_is_refused(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        stub, run_id = OptimizationServiceStub(channel), await a_running_run(channel)
        given: dict[str, Any] = {
            "best_fitness": 2.0,
            "best_individual": {"gene": 2.0},
            "average_fitness": 1.5,
            "population_diversity": 1.0,
        }
        await stub.RecordGeneration(a_generation(run_id, 1, 1.0, 2.0, **given))
        before = await individuals_of(channel, run_id)
        others: dict[str, dict[str, Any]] = {
            "fitness": {"individuals": [an_individual(1.0), an_individual(2.5)]},
            "genes": {"individuals": [an_individual(1.0), an_individual(2.0, genes={})]},
            "objectives": {"individuals": [an_individual(1.0), an_individual(2.0, objectives={"sharpe": 1})]},
            "more": {"individuals": [an_individual(1.0), an_individual(2.0), an_individual(3.0)]},
            "fewer": {"individuals": [an_individual(2.0)]},
            "best": {"best_fitness": 2.5},
            "best genes": {"best_individual": {"gene": 2.5}},
            "average": {"average_fitness": None},
            "diversity": {"population_diversity": 0.5},
        }
        for name, changes in others.items():
            with subtests.test(name):
                other = a_generation(run_id, 1, 1.0, 2.0, **{**given, **changes})
                error = await refusal(stub.RecordGeneration(other))
                assert error.code() == grpc.StatusCode.ALREADY_EXISTS
                assert details(error)[:2] == ("GENERATION_EXISTS", {"run_id": run_id, "generation": "1"})
        assert await individuals_of(channel, run_id) == before


async def test_of_concurrent_recordings_one_is_stored(database: str) -> None:
    async with an_exchange(database, **PATIENT) as one, an_exchange(database, **PATIENT) as other:
        run_id = await a_running_run(one)
        request = a_generation(run_id, 0, *map(float, range(10)))
        stubs = [OptimizationServiceStub(channel) for channel in (one, other)]
        async with administrator(database) as admin:
            # None can commit before all have come.
            await admin.execute("SELECT pg_advisory_lock(4711001, 3)")
            calls = [asyncio.ensure_future(stub.RecordGeneration(request)) for stub in stubs * 2]
            await until_waiting(admin, "calls", len(calls))
        responses = await asyncio.gather(*calls)
        assert sorted(response.duplicate for response in responses) == [False, True, True, True]
        assert len(await individuals_of(one, run_id)) == 10


async def test_a_recorded_generation_is_a_heartbeat(database: str) -> None:
    async with an_exchange(database) as channel:
        stub, run_id = OptimizationServiceStub(channel), await a_running_run(channel)
        get = pb.GetOptimizationRunRequest(run_id=run_id)
        before = (await stub.GetOptimizationRun(get)).run.heartbeat_time.ToMicroseconds()
        await stub.RecordGeneration(a_generation(run_id, 0, 1.0))
        assert (await stub.GetOptimizationRun(get)).run.heartbeat_time.ToMicroseconds() > before


async def test_the_field_at_fault_is_named_and_nothing_is_written(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        stub, run_id = OptimizationServiceStub(channel), await a_running_run(channel)
        for changes, field in FAULTS:
            with subtests.test(field):
                request = a_generation(**{"run_id": run_id, "number": 0, "individuals": [an_individual()], **changes})
                error = await refusal(stub.RecordGeneration(request))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, [field])
    for table in ("optimization_generations", "optimization_individuals", "event_log"):
        assert await execute(database, f"SELECT FROM {table}") == []
    (run,) = await execute(database, "SELECT best_fitness, heartbeat_at = start_time AS silent FROM optimization_runs")
    assert run["best_fitness"] is None


WILD: Final = st.floats() | st.sampled_from([0.0, 1.0, -0.0, 5e-324, 1.7976931348623157e308])


@BOUNDED
@given(
    st.lists(
        st.builds(pb.Individual, genes=MEMBERS, fitness_score=NUMBERS, objectives=st.none() | MEMBERS),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from([pb.FITNESS_DIRECTION_MAXIMIZE, pb.FITNESS_DIRECTION_MINIMIZE]),
)
async def test_any_individuals_are_read_as_they_were_recorded(
    database: str, given: list[pb.Individual], direction: Any
) -> None:
    async with an_exchange(database) as channel:
        stub, run_id = OptimizationServiceStub(channel), await a_running_run(channel, direction=direction)
        response = await stub.RecordGeneration(a_generation(run_id, 0, individuals=given))
        reverse = direction == pb.FITNESS_DIRECTION_MAXIMIZE
        ranked = sorted(given, key=lambda each: each.fitness_score, reverse=reverse)
        read = await individuals_of(channel, run_id, generation=0)
        assert [(each.genes, each.fitness_score, each.objectives) for each in read] == [
            (each.genes, each.fitness_score, each.objectives) for each in ranked
        ]
        generation = response.generation
        assert (generation.best_fitness, generation.best_individual) == (read[0].fitness_score, read[0].genes)
        low, high = sorted((ranked[0].fitness_score, ranked[-1].fitness_score))
        # A mean is rounded, and below the smallest normal number there are few digits.
        assert low <= generation.average_fitness + sys.float_info.min or generation.average_fitness == pytest.approx(
            low
        )
        assert generation.average_fitness - sys.float_info.min <= high or generation.average_fitness == pytest.approx(
            high
        )


@BOUNDED
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "run_id": st.just("") | st.text(max_size=5) | st.uuids().map(str),
                "number": st.integers(-(2**31), 2**31 - 1),
            },
            optional={
                "best_fitness": WILD,
                "average_fitness": WILD,
                "population_diversity": WILD,
                "best_individual": st.dictionaries(st.text(max_size=3), WILD | st.text(max_size=3), max_size=2),
                "individuals": st.lists(
                    st.builds(
                        pb.Individual,
                        genes=st.none() | st.dictionaries(st.text(max_size=3), WILD, max_size=2),
                        fitness_score=st.none() | WILD,
                    ),
                    max_size=5,
                ),
            },
        ),
        min_size=10,
        max_size=10,
    )
)
async def test_no_request_is_a_fault_of_the_server(database: str, wild: list[dict[str, Any]]) -> None:
    allowed = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
    async with an_exchange(database) as channel:
        stub, run_id = OptimizationServiceStub(channel), await a_running_run(channel)
        recorded = set()
        for request in wild:
            for tried in (a_generation(**request), a_generation(**{**request, "run_id": run_id})):
                call = stub.RecordGeneration(tried)
                code = await call.code()
                assert code in allowed | {grpc.StatusCode.ALREADY_EXISTS}, (code, await call.details())
                if code == grpc.StatusCode.OK:
                    recorded.add(tried.generation)
        rows = await execute(database, "SELECT generation FROM optimization_generations WHERE run_id = $1", run_id)
        assert {row["generation"] for row in rows} == recorded
