"""Individuals and convergence: what is read of a run, in which order, and how much is looked at for it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import asyncpg
import pytest

from ai_grpc.db import load_queries
from ai_grpc.records import bound
from ai_grpc.v1 import optimization_pb2 as pb
from ai_grpc.v1.optimization_pb2_grpc import OptimizationServiceStub
from tests.optimization import a_generation, a_running_run, an_individual, individuals_of, scores
from tests.signals import an_active_model, an_exchange, sort_always

FILL: Final = """
INSERT INTO optimization_individuals (run_id, generation, individual_rank, genes, fitness_score, is_new)
SELECT r.run_id, number, rank, jsonb_build_object('gene', rank), number + rank / 1000.0, TRUE
FROM optimization_runs AS r, generate_series(1, 20) AS number, generate_series(1, 200) AS rank
"""
ROWS_READ: Final = """
SELECT seq_tup_read + idx_tup_fetch + coalesce(
  (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'optimization_individuals'), 0
)::bigint
FROM pg_stat_user_tables WHERE relname = 'optimization_individuals'
"""
RECORD: Final = """
SELECT outcome FROM record_generation(
  (SELECT min(run_id::text)::uuid FROM optimization_runs), $1::int, NULL, NULL, NULL, NULL,
  ARRAY(SELECT jsonb_build_object('gene', g) FROM generate_series(1, $2::int) AS g),
  ARRAY(SELECT $1::int + g / 1000.0::float8 FROM generate_series(1, $2) AS g),
  ARRAY(SELECT NULL::jsonb FROM generate_series(1, $2))
)
"""


async def record(connection: asyncpg.Connection, numbers: Iterable[int], individuals: int) -> None:
    """Records generations of so many individuals, all of them new."""
    for number in numbers:
        assert await connection.fetchval(RECORD, number, individuals) == "RECORDED"


async def rows_read(connection: asyncpg.Connection) -> int:
    """How many individuals were looked at so far, told at once."""
    await connection.fetchval("SELECT pg_stat_force_next_flush()")
    return int(await connection.fetchval(ROWS_READ))


@pytest.fixture
async def runs(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a database with 20 runs."""
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        for _ in range(20):
            await a_running_run(channel, model_id=model_id)
    connection = await asyncpg.connect(database, server_settings={"search_path": "ai_trading"}, timeout=10)
    try:
        yield connection
    finally:
        await connection.close(timeout=10)


async def test_the_individuals_of_a_generation_are_ranked(database: str) -> None:
    async with an_exchange(database) as channel:
        for direction, order in (
            (pb.FITNESS_DIRECTION_MAXIMIZE, [5.0, 4.0, 3.0, 1.0, 1.0]),
            (pb.FITNESS_DIRECTION_MINIMIZE, [1.0, 1.0, 3.0, 4.0, 5.0]),
        ):
            run_id = await a_running_run(channel, direction=direction)
            # PostgreSQL would sort genes the other way round.
            equal = [an_individual(1.0, genes={"place": place}) for place in (1, 0)]
            request = a_generation(run_id, 7, individuals=[equal[0], *map(an_individual, (4.0, 3.0, 5.0)), equal[1]])
            await OptimizationServiceStub(channel).RecordGeneration(request)
            individuals = await individuals_of(channel, run_id, generation=7)
            assert scores(individuals) == order
            assert [each.individual_rank for each in individuals] == [1, 2, 3, 4, 5]
            assert [each.genes["place"] for each in individuals if each.fitness_score == 1.0] == [1, 0]
            empty = pb.ListIndividualsRequest(run_id=run_id, generation=8)
            assert (await OptimizationServiceStub(channel).ListIndividuals(empty)).individuals == []


async def test_all_pages_together_hold_every_individual_once_even_of_one_fitness(database: str) -> None:
    await sort_always(database)
    async with an_exchange(database) as channel:
        for direction in (pb.FITNESS_DIRECTION_MAXIMIZE, pb.FITNESS_DIRECTION_MINIMIZE):
            run_id = await a_running_run(channel, direction=direction)
            equal = [an_individual(1.0, genes={"place": place}) for place in range(20)]
            await OptimizationServiceStub(channel).RecordGeneration(a_generation(run_id, 0, individuals=equal))
            listed = await individuals_of(channel, run_id)
            assert sorted(int(each.genes.fields["place"].number_value) for each in listed) == list(range(20))


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


@pytest.mark.parametrize(
    ("query", "given", "index"),
    [
        ("list_largest_individuals", {}, "idx_optimization_individuals_fitness"),
        ("list_smallest_individuals", {}, "idx_optimization_individuals_fitness"),
        ("list_largest_individuals", {"page_score": 10.5}, "idx_optimization_individuals_fitness"),
        ("list_individuals_by_rank", {"generation": 5}, "idx_optimization_individuals_run_gen"),
    ],
)
async def test_a_page_is_read_from_the_index_in_its_order(
    runs: asyncpg.Connection, query: str, given: dict[str, Any], index: str
) -> None:
    await runs.execute(FILL)
    await runs.execute("ANALYZE")
    run_id = await runs.fetchval("SELECT run_id FROM optimization_runs LIMIT 1")
    sql, names = bound(load_queries("optimization")[query])
    arguments = {"run_id": run_id, "page_id": run_id, "page_limit": 51, **given}
    plan = await runs.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *(arguments.get(name) for name in names))
    assert re.findall(r'"Index Name": "(\w+)"', plan) == [index]
    assert not re.search(r'"Node Type": "(Seq Scan|Sort|Incremental Sort)"', plan)


async def test_recording_looks_at_few_individuals_however_many_there_are(runs: asyncpg.Connection) -> None:
    # Plans are kept from when the tables were small, and those of generations that were large.
    await record(runs, range(1), individuals=1)
    await runs.execute("ANALYZE")
    await record(runs, range(1, 10), individuals=1)
    before = await rows_read(runs)
    await record(runs, range(10, 20), individuals=1000)
    await record(runs, range(20, 30), individuals=1)
    assert await rows_read(runs) - before < 200
