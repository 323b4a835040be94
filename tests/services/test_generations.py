"""Generations: what an optimizer records of each, and what is read of individuals and of convergence."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import grpc
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given
from hypothesis import strategies as st

from ai_grpc.v1 import optimization_pb2 as pb
from ai_grpc.v1.optimization_pb2_grpc import OptimizationServiceStub
from tests.exchange.test_events import BOUNDED
from tests.optimization import a_generation, a_running_run, an_individual, scores
from tests.signals import a_struct, an_exchange, details, execute, refusal

# As the specification has it.
EXAMPLE: Final[dict[str, Any]] = {
    "genes": {"sma_short": 12, "sma_long": 31, "rsi_period": 20, "rsi_oversold": 31, "rsi_overbought": 73},
    "fitness_score": 2.5075,
}
BIG: Final = {"text": "x" * 65_536}
INFINITY: Final = float("inf")

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
    ({"individuals": [an_individual(), an_individual(objectives=BIG)]}, "individuals[1].objectives"),
    ({"individuals": [an_individual()] * 3, "generation": -1}, "generation"),
]


async def individuals_of(channel: grpc.aio.Channel, run_id: str, generation: int | None = None) -> list[pb.Individual]:
    """All of them, page by page."""
    request = pb.ListIndividualsRequest(page_size=3, run_id=run_id, generation=generation)
    individuals: list[pb.Individual] = []
    while not individuals or request.page_token:
        response = await OptimizationServiceStub(channel).ListIndividuals(request)
        individuals += response.individuals
        request.page_token = response.next_page_token
    return individuals


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


async def test_another_content_of_a_generation_is_refused(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        stub, run_id = OptimizationServiceStub(channel), await a_running_run(channel)
        await stub.RecordGeneration(a_generation(run_id, 1, 1.0, 2.0))
        before = await individuals_of(channel, run_id)
        others: dict[str, dict[str, Any]] = {
            "fitness": {"individuals": [an_individual(1.0), an_individual(2.5)]},
            "genes": {"individuals": [an_individual(1.0), an_individual(2.0, genes={})]},
            "objectives": {"individuals": [an_individual(1.0), an_individual(2.0, objectives={"sharpe": 1})]},
            "more": {"individuals": [an_individual(1.0), an_individual(2.0), an_individual(3.0)]},
            "fewer": {"individuals": [an_individual(2.0)]},
            "average": {"individuals": [an_individual(1.0), an_individual(2.0)], "average_fitness": 1.0},
        }
        for name, changes in others.items():
            with subtests.test(name):
                error = await refusal(stub.RecordGeneration(a_generation(run_id, 1, **changes)))
                assert error.code() == grpc.StatusCode.ALREADY_EXISTS
                assert details(error)[:2] == ("GENERATION_EXISTS", {"run_id": run_id, "generation": "1"})
        assert await individuals_of(channel, run_id) == before


async def test_of_concurrent_recordings_one_is_stored(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database) as other:
        run_id = await a_running_run(one)
        request = a_generation(run_id, 0, *map(float, range(100)))
        stubs = [OptimizationServiceStub(channel) for channel in (one, other)]
        responses = await asyncio.gather(*(stub.RecordGeneration(request) for stub in stubs * 4))
        assert sorted(response.duplicate for response in responses) == [False] + [True] * 7
        assert len(await individuals_of(one, run_id)) == 100


async def test_a_recorded_generation_is_a_heartbeat(database: str) -> None:
    async with an_exchange(database) as channel:
        stub, run_id = OptimizationServiceStub(channel), await a_running_run(channel)
        get = pb.GetOptimizationRunRequest(run_id=run_id)
        before = (await stub.GetOptimizationRun(get)).run.heartbeat_time.ToMicroseconds()
        await stub.RecordGeneration(a_generation(run_id, 0, 1.0))
        assert (await stub.GetOptimizationRun(get)).run.heartbeat_time.ToMicroseconds() > before


async def test_the_individuals_of_a_generation_are_ranked(database: str) -> None:
    async with an_exchange(database) as channel:
        for direction, order in (
            (pb.FITNESS_DIRECTION_MAXIMIZE, [5.0, 4.0, 3.0, 1.0, 1.0]),
            (pb.FITNESS_DIRECTION_MINIMIZE, [1.0, 1.0, 3.0, 4.0, 5.0]),
        ):
            run_id = await a_running_run(channel, direction=direction)
            equal = [an_individual(1.0, genes={"place": place}) for place in range(2)]
            request = a_generation(run_id, 7, individuals=[equal[0], *map(an_individual, (4.0, 3.0, 5.0)), equal[1]])
            await OptimizationServiceStub(channel).RecordGeneration(request)
            individuals = await individuals_of(channel, run_id, generation=7)
            assert scores(individuals) == order
            assert [each.individual_rank for each in individuals] == [1, 2, 3, 4, 5]
            assert [each.genes["place"] for each in individuals if each.fitness_score == 1.0] == [0, 1]
            empty = pb.ListIndividualsRequest(run_id=run_id, generation=8)
            assert (await OptimizationServiceStub(channel).ListIndividuals(empty)).individuals == []


async def test_the_best_of_a_run_are_listed_once_where_they_came_first(database: str) -> None:
    async with an_exchange(database) as channel:
        stub = OptimizationServiceStub(channel)
        for direction in (pb.FITNESS_DIRECTION_MAXIMIZE, pb.FITNESS_DIRECTION_MINIMIZE):
            run_id = await a_running_run(channel, direction=direction)
            for number, fitness in enumerate(((2.0, 1.0, 2.0), (3.0, 2.0, 2.0, -1.0), (3.0, 2.5, 1.0))):
                await stub.RecordGeneration(a_generation(run_id, number, *fitness))
            judged_otherwise = [an_individual(2.0, genes={"gene": 3.0}), an_individual(2.0, genes={"gene": 4.0})]
            await stub.RecordGeneration(a_generation(run_id, 3, individuals=judged_otherwise))
            individuals = await individuals_of(channel, run_id)
            found = [(each.fitness_score, each.generation) for each in individuals]
            best_first = [(3.0, 1), (2.5, 2), (2.0, 0), (2.0, 3), (2.0, 3), (1.0, 0), (-1.0, 1)]
            ascending = direction == pb.FITNESS_DIRECTION_MINIMIZE
            assert scores(individuals) == sorted(scores(individuals), reverse=not ascending)
            assert sorted(found) == sorted(best_first)


async def test_convergence_has_the_best_so_far_of_each_generation(database: str) -> None:
    async with an_exchange(database) as channel:
        stub = OptimizationServiceStub(channel)
        history = {4: (5.0,), 0: (2.0, 4.0), 2: (1.0, 3.0), 1: (3.0,)}
        for direction, best, so_far in (
            (pb.FITNESS_DIRECTION_MAXIMIZE, [4.0, 3.0, 3.0, 5.0], [4.0, 4.0, 4.0, 5.0]),
            (pb.FITNESS_DIRECTION_MINIMIZE, [2.0, 3.0, 1.0, 5.0], [2.0, 2.0, 1.0, 1.0]),
        ):
            run_id = await a_running_run(channel, direction=direction)
            request = pb.GetConvergenceRequest(page_size=3, run_id=run_id)
            assert (await stub.GetConvergence(request)).points == []
            for number, fitness in history.items():
                await stub.RecordGeneration(a_generation(run_id, number, *fitness))
            first = await stub.GetConvergence(request)
            request.page_token = first.next_page_token
            last = await stub.GetConvergence(request)
            points = [*first.points, *last.points]
            assert ([point.generation for point in points], last.next_page_token) == ([0, 1, 2, 4], "")
            assert [point.best_fitness for point in points] == best
            assert [point.best_so_far for point in points] == so_far
            assert [point.average_fitness for point in points] == [3.0, 3.0, 2.0, 5.0]
            assert [point.population_diversity for point in points] == [1.0] * 4


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


# PostgreSQL knows no negative zero.
FITNESS: Final = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
TEXT: Final = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
VALUES: Final = st.recursive(
    st.none() | st.booleans() | FITNESS | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=6,
)
GENES: Final = st.dictionaries(TEXT, VALUES, max_size=3)
WILD: Final = st.floats() | st.sampled_from([0.0, 1.0, -0.0, 5e-324, 1.7976931348623157e308])


@BOUNDED
@given(
    st.lists(
        st.builds(pb.Individual, genes=GENES, fitness_score=FITNESS, objectives=st.none() | GENES),
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
        assert low <= generation.average_fitness <= high


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
