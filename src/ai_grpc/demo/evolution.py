"""A genetic algorithm that looks for the genes with the best trades on the training part."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from functools import cache
from typing import Any

from deap import base, creator, tools

from ai_grpc.demo.paper import sharpe, trade
from ai_grpc.demo.prices import Series
from ai_grpc.demo.rules import Genes, entries

LOWEST = Genes(sma_short=5, sma_long=20, rsi_period=5, rsi_oversold=15, rsi_overbought=55)
HIGHEST = Genes(sma_short=50, sma_long=200, rsi_period=30, rsi_oversold=45, rsi_overbought=85)
ENOUGH_TRADES = 40
ELITE = 2
CROSSOVER, MUTATION = 0.6, 0.3

creator.create("Fitness", base.Fitness, weights=(1.0,))
creator.create("Individual", list, fitness=creator.Fitness)

Individual = Any


@dataclass(frozen=True)
class Generation:
    """One generation: its individuals with their fitness, and the best genes of all so far."""

    number: int
    individuals: tuple[tuple[Genes, float], ...]
    best: Genes
    best_fitness: float


def fitness_of(series: Series) -> Callable[[Genes], float]:
    """The Sharpe ratio of the genes' trades on the training part alone, less believed the fewer the trades."""
    known = series.first(series.split)
    begin = HIGHEST.sma_long

    def fitness(genes: Genes) -> float:
        account = trade(known, (entry for entry in entries(known, genes) if entry.bar >= begin), begin)
        ratio = sharpe(account.curve, known.bars_per_year)
        return ratio * min(1.0, len(account.trades) / ENOUGH_TRADES) if ratio > 0 else ratio

    return fitness


def evolve(fitness: Callable[[Genes], float], *, seed: int, population: int, generations: int) -> Iterator[Generation]:
    """Yields each generation as it is bred, the first one drawn at random; the same seed breeds the same ones."""
    # DEAP draws from the module `random`: there is no other place to seed it.
    random.seed(seed)
    box = _toolbox(fitness)
    fame = tools.HallOfFame(ELITE)
    living = [box.draw() for _ in range(population)]
    for number in range(generations + 1):
        if number:
            living = _breed(box, living) + [box.clone(one) for one in fame]
        for one in living:
            _judge(box, one)
        fame.update(living)
        individuals = tuple((Genes(*one), one.fitness.values[0]) for one in living)
        yield Generation(number, individuals, Genes(*fame[0]), fame[0].fitness.values[0])


def _toolbox(fitness: Callable[[Genes], float]) -> Any:
    low, high = list(astuple(LOWEST)), list(astuple(HIGHEST))
    box = base.Toolbox()
    box.register("draw", lambda: creator.Individual(map(random.randint, low, high)))
    box.register("mate", tools.cxUniform, indpb=0.5)
    box.register("mutate", tools.mutUniformInt, low=low, up=high, indpb=0.3)
    box.register("select", tools.selTournament, tournsize=3)
    # Survivors come again in many generations; each set of genes is traded once.
    box.register("score", cache(lambda *genes: fitness(Genes(*genes))))
    return box


def _breed(box: Any, parents: list[Individual]) -> list[Individual]:
    children = [box.clone(one) for one in box.select(parents, len(parents) - ELITE)]
    for one, other in zip(children[::2], children[1::2], strict=False):
        if random.random() < CROSSOVER:
            box.mate(one, other)
    for one in children:
        if random.random() < MUTATION:
            box.mutate(one)
    return children


def _judge(box: Any, one: Individual) -> None:
    # The ranges of the two averages overlap: the shorter one is the short one.
    one[0], one[1] = sorted(one[:2])
    one.fitness.values = (box.score(*one),)
