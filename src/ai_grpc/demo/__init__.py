"""The demonstration: rules bred on real prices, their signals, and a bot that trades them, is killed and resumes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from ai_grpc.errors import ConfigurationError

NEEDED = ("backtesting", "deap", "numpy", "pandas")


def demo(
    seed: Annotated[int, typer.Option(help="The chance that evolution draws from.")] = 7,
    population: Annotated[int, typer.Option(min=10, max=1000, help="Individuals in a generation.")] = 100,
    generations: Annotated[int, typer.Option(min=1, max=500, help="Generations to breed.")] = 40,
    pace: Annotated[float, typer.Option(min=0, max=1, help="Seconds between two signals.")] = 0.08,
    configured_database: Annotated[
        bool, typer.Option("--configured-database", help="Use the configured database, and leave the signals there.")
    ] = False,
) -> None:
    """Shows the service at work on real prices: a model, a bot that is killed in the middle, a check, a judgment."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"the demonstration needs {', '.join(missing)}: pip install 'ai-grpc[demo]'")
    from ai_grpc.demo.run import run
    from ai_grpc.demo.story import Scale

    raise typer.Exit(run(Scale(seed, population, generations, pace), configured_database=configured_database))
