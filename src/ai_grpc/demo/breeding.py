"""Breeding rules for a symbol: a registered model, and an optimization run that is recorded while it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID, uuid5

from grpc import aio

from ai_grpc.demo.evolution import HIGHEST, LOWEST, Generation, evolve, fitness_of
from ai_grpc.demo.paper import Trade, trade
from ai_grpc.demo.prices import Series
from ai_grpc.demo.rules import Entry, Genes, entries
from ai_grpc.v1 import models_pb2, models_pb2_grpc, optimization_pb2_grpc
from ai_grpc.v1 import optimization_pb2 as pb

CALL_TIMEOUT = 10.0


@dataclass(frozen=True)
class Bred:
    """What evolution made of a symbol: the best genes, the trades they were learnt from, and where they fire later."""

    series: Series
    model_id: str
    best: Genes
    training: Sequence[Trade]
    later: Sequence[Entry]

    @classmethod
    def of(cls, series: Series, model_id: str, best: Genes) -> Bred:
        """What the genes do on both parts of the series."""
        fired = [entry for entry in entries(series, best) if entry.bar >= HIGHEST.sma_long]
        known = series.first(series.split)
        training = trade(known, (entry for entry in fired if entry.bar < series.split), HIGHEST.sma_long).trades
        return cls(series, model_id, best, training, [entry for entry in fired if entry.bar >= series.split])


class Breeder:
    """Evolves the rules of one symbol after another; the service knows each generation as soon as it is bred."""

    def __init__(self, channel: aio.Channel, *, seed: int, population: int, generations: int) -> None:
        self._models: models_pb2_grpc.ModelServiceAsyncStub = models_pb2_grpc.ModelServiceStub(channel)
        self._runs: optimization_pb2_grpc.OptimizationServiceAsyncStub = optimization_pb2_grpc.OptimizationServiceStub(
            channel
        )
        self._seed, self._population, self._generations = seed, population, generations

    async def register(self, series: Series, version: str) -> str:
        """Registers a model for the symbol, not yet configured, and returns its id."""
        request = models_pb2.RegisterModelRequest(
            model_name=f"sma-rsi-{series.symbol.lower()}",
            version=version,
            model_type="genetic_optimization",
            description=f"Crossing averages and RSI, bred on {series.split} bars of {series.symbol}",
        )
        return (await self._models.RegisterModel(request, timeout=CALL_TIMEOUT, wait_for_ready=True)).model.model_id

    async def breed(self, series: Series, model_id: str) -> Bred:
        """Evolves the genes on the training part and records it; the best of them become the model's configuration."""
        run_id = await self._start(model_id)
        sizes = {"seed": self._seed, "population": self._population, "generations": self._generations}
        for generation in evolve(fitness_of(series), **sizes):
            await self._record(run_id, generation)
        completion = pb.CompleteOptimizationRunRequest(run_id=run_id, best_fitness=generation.best_fitness)
        completion.best_individual.update(asdict(generation.best))
        await self._runs.CompleteOptimizationRun(completion, timeout=CALL_TIMEOUT)
        model = models_pb2.Model(model_id=model_id)
        model.configuration.update(asdict(generation.best))
        await self._models.UpdateModel(models_pb2.UpdateModelRequest(model=model), timeout=CALL_TIMEOUT)
        return Bred.of(series, model_id, generation.best)

    async def _start(self, model_id: str) -> str:
        # The id follows from the model's, so that the call may be repeated.
        request = pb.StartOptimizationRunRequest(
            run_id=str(uuid5(UUID(model_id), "evolution")),
            model_id=model_id,
            optimization_type="parameter_optimization",
            objective_function="sharpe_ratio",
            population_size=self._population,
            generations=self._generations + 1,
        )
        highest = asdict(HIGHEST)
        request.parameter_ranges.update({gene: [low, highest[gene]] for gene, low in asdict(LOWEST).items()})
        return (await self._runs.StartOptimizationRun(request, timeout=CALL_TIMEOUT)).run.run_id

    async def _record(self, run_id: str, generation: Generation) -> None:
        # The average and the diversity are left to the service. The best is given: of equals it is the one to be taken.
        request = pb.RecordGenerationRequest(
            run_id=run_id, generation=generation.number, best_fitness=generation.best_fitness
        )
        request.best_individual.update(asdict(generation.best))
        for genes, fitness in generation.individuals:
            request.individuals.add(fitness_score=fitness).genes.update(asdict(genes))
        await self._runs.RecordGeneration(request, timeout=CALL_TIMEOUT)
