"""What is recorded of a run is what was bred, and it is heard while it goes on."""

from __future__ import annotations

from dataclasses import asdict

from google.protobuf.json_format import MessageToDict
from grpc import aio

from ai_grpc.demo.breeding import Bred, Breeder
from ai_grpc.demo.evolution import Generation, evolve, fitness_of
from ai_grpc.demo.generations import hear
from ai_grpc.demo.prices import load
from ai_grpc.v1 import models_pb2, models_pb2_grpc, optimization_pb2_grpc
from ai_grpc.v1 import optimization_pb2 as pb

SIZES = {"seed": 7, "population": 20, "generations": 4}


async def breed(channel: aio.Channel) -> tuple[Bred, list[Generation]]:
    """What a breeder makes of GOOG, and the same generations bred again."""
    series = load("GOOG")
    breeder = Breeder(channel, **SIZES)
    bred = await breeder.breed(series, await breeder.register(series, "1"))
    return bred, list(evolve(fitness_of(series), **SIZES))


async def recorded(channel: aio.Channel, model_id: str) -> pb.OptimizationRun:
    stub: optimization_pb2_grpc.OptimizationServiceAsyncStub = optimization_pb2_grpc.OptimizationServiceStub(channel)
    (run,) = (await stub.ListOptimizationRuns(pb.ListOptimizationRunsRequest(model_id=model_id), timeout=10)).runs
    return run


async def test_recorded_run_equals_what_was_bred_and_the_best_genes_configure_the_model(channel: aio.Channel) -> None:
    bred, generations = await breed(channel)
    run = await recorded(channel, bred.model_id)
    assert run.state == pb.OPTIMIZATION_STATE_COMPLETED
    assert (run.population_size, run.generations) == (20, 5)
    assert (dict(run.best_individual), run.best_fitness) == (asdict(bred.best), generations[-1].best_fitness)
    models: models_pb2_grpc.ModelServiceAsyncStub = models_pb2_grpc.ModelServiceStub(channel)
    model = (await models.GetModel(models_pb2.GetModelRequest(model_id=bred.model_id), timeout=10)).model
    assert dict(model.configuration) == asdict(generations[-1].best) == asdict(bred.best)
    assert MessageToDict(run.parameter_ranges)["sma_long"] == [20, 200]
    stub: optimization_pb2_grpc.OptimizationServiceAsyncStub = optimization_pb2_grpc.OptimizationServiceStub(channel)
    for generation in generations:
        request = pb.ListIndividualsRequest(run_id=run.run_id, generation=generation.number)
        individuals = (await stub.ListIndividuals(request, timeout=10)).individuals
        found = [(dict(one.genes), one.fitness_score) for one in individuals]
        # By rank: of equal ones the first in the request comes first, as in a stable sort.
        best_first = sorted(generation.individuals, key=lambda one: -one[1])
        assert found == [(asdict(genes), fitness) for genes, fitness in best_first]


async def test_stream_of_generations_brings_what_was_bred(channel: aio.Channel, target: str) -> None:
    bred, generations = await breed(channel)
    heard = [one async for one in hear(target, {"GOOG": bred.model_id}, 5, within=10)]
    assert [symbol for symbol, _ in heard] == ["GOOG"] * 5
    assert [message["number"] for _, message in heard] == [0, 1, 2, 3, 4]
    assert [message["best"] for _, message in heard] == [asdict(one.best) for one in generations]
    assert [message["best_fitness"] for _, message in heard] == [one.best_fitness for one in generations]
