"""Evolution gets better, can be repeated, and learns from the training part alone."""

from __future__ import annotations

from dataclasses import astuple, replace

from ai_grpc.demo.evolution import HIGHEST, LOWEST, Generation, evolve, fitness_of
from ai_grpc.demo.prices import load
from ai_grpc.demo.rules import Genes


def nearness(genes: Genes) -> float:
    """A hill with its top at known genes."""
    return -float(sum(abs(a - b) for a, b in zip(astuple(genes), (12, 60, 14, 30, 70), strict=True)))


def bred(seed: int) -> list[Generation]:
    return list(evolve(nearness, seed=seed, population=40, generations=20))


def test_same_seed_breeds_the_same_generations() -> None:
    assert bred(7) == bred(7)
    assert bred(7) != bred(8)


def test_best_fitness_never_falls_and_the_top_comes_near() -> None:
    generations = bred(7)
    best = [generation.best_fitness for generation in generations]
    assert best == sorted(best)
    assert len(generations) == 21
    assert nearness(generations[-1].best) == best[-1] > -8
    averages = [sum(fitness for _, fitness in one.individuals) / len(one.individuals) for one in generations]
    assert averages[-1] > averages[0]


def test_generation_has_all_its_individuals_with_their_own_fitness_and_the_best_is_one_of_them() -> None:
    for generation in bred(7):
        assert len(generation.individuals) == 40
        assert all(fitness == nearness(genes) for genes, fitness in generation.individuals)
        assert (generation.best, generation.best_fitness) in generation.individuals
        assert generation.best_fitness == max(fitness for _, fitness in generation.individuals)


def test_genes_stay_within_their_bounds_and_the_short_average_is_the_short_one() -> None:
    seen: list[Genes] = []

    def fitness(genes: Genes) -> float:
        seen.append(genes)
        return 0.0

    list(evolve(fitness, seed=1, population=60, generations=10))
    assert len(seen) > 100
    for genes in seen:
        assert all(a <= b for a, b in zip(astuple(LOWEST), astuple(genes), strict=True))
        assert all(a <= b for a, b in zip(astuple(genes), astuple(HIGHEST), strict=True))
        assert genes.sma_short <= genes.sma_long


def test_fitness_does_not_see_the_trading_part() -> None:
    series = load("GOOG")
    later = series.close.copy()
    later[series.split :] *= 3
    genes = Genes(9, 27, 9, 38, 78)
    assert fitness_of(series)(genes) == fitness_of(replace(series, close=later))(genes)


def test_fitness_sees_the_training_part() -> None:
    series = load("GOOG")
    earlier = series.close.copy()
    earlier[600] *= 1.1
    genes = Genes(9, 27, 9, 38, 78)
    assert fitness_of(series)(genes) != fitness_of(replace(series, close=earlier))(genes)
