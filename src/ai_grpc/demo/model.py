"""The model process: breeds rules for each symbol, registers them as models, and publishes where they fire later."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from ai_grpc.client import SignalPublisher, connect
from ai_grpc.demo.evolution import HIGHEST, Generation, evolve, fitness_of
from ai_grpc.demo.leash import end_with_parent
from ai_grpc.demo.paper import Trade, trade
from ai_grpc.demo.prices import MARKETS, Series, load
from ai_grpc.demo.processes import say
from ai_grpc.demo.rules import Entry, entries
from ai_grpc.demo.signals import confidence, to_signal
from ai_grpc.v1 import models_pb2, models_pb2_grpc
from ai_grpc.v1 import signals_pb2 as pb

REGISTER_TIMEOUT = 10.0


@dataclass(frozen=True)
class Bred:
    """What evolution made of a symbol: its best generation, the trades it learnt from, and where it fires later."""

    series: Series
    best: Generation
    training: list[Trade]
    later: list[Entry]

    def register_request(self, version: str) -> models_pb2.RegisterModelRequest:
        """How the model is registered; its configuration is its genes."""
        request = models_pb2.RegisterModelRequest(
            model_name=f"sma-rsi-{self.series.symbol.lower()}",
            version=version,
            model_type="genetic_optimization",
            description=f"Crossing averages and RSI, bred on {self.series.split} bars of {self.series.symbol}",
        )
        request.configuration.update(asdict(self.best.best))
        return request


def breed(symbol: str, *, seed: int, population: int, generations: int) -> Bred:
    """Evolves the genes on the training part, and tells of each generation."""
    series = load(symbol)
    for best in evolve(fitness_of(series), seed=seed, population=population, generations=generations):
        say("generation", symbol=symbol, **asdict(best))
    fired = [entry for entry in entries(series, best.best) if entry.bar >= HIGHEST.sma_long]
    known = series.first(series.split)
    training = trade(known, (entry for entry in fired if entry.bar < series.split), HIGHEST.sma_long).trades
    return Bred(series, best, training, [entry for entry in fired if entry.bar >= series.split])


async def register(all_bred: list[Bred], target: str, version: str) -> dict[str, str]:
    """Registers a model for each symbol and returns their ids."""
    async with connect(target) as channel:
        stub: models_pb2_grpc.ModelServiceAsyncStub = models_pb2_grpc.ModelServiceStub(channel)
        model_ids = {}
        for bred in all_bred:
            request = bred.register_request(version)
            response = await stub.RegisterModel(request, timeout=REGISTER_TIMEOUT, wait_for_ready=True)
            model_ids[bred.series.symbol] = response.model.model_id
    return model_ids


def interleave(all_bred: list[Bred]) -> list[tuple[Bred, Entry]]:
    """The entries of all symbols, each symbol's in order, as if their trading parts were of one length."""
    return sorted(
        ((bred, entry) for bred in all_bred for entry in bred.later), key=lambda one: one[1].bar / len(one[0].series)
    )


async def publish(plan: list[tuple[Bred, Entry]], model_ids: dict[str, str], target: str, pace: float) -> None:
    """Publishes signal after signal, and tells how long each took to be acknowledged."""
    async with SignalPublisher(target) as publisher:
        for bred, entry in plan:
            series, sure = bred.series, confidence(entry, bred.training)
            signal = to_signal(entry, series, model_id=model_ids[series.symbol], confidence=sure)
            begin = time.perf_counter()
            published = await publisher.publish(signal)
            seconds = time.perf_counter() - begin
            kind = pb.SignalType.Name(signal.signal_type).removeprefix("SIGNAL_TYPE_")
            place = {"signal_id": published.signal_id, "sequence": published.sequence}
            say("published", symbol=series.symbol, type=kind, seconds=seconds, **place)
            await asyncio.sleep(pace)
    say("finished")


def main() -> None:
    """Runs the process; it publishes when it is told so by a line on standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--population", type=int, required=True)
    parser.add_argument("--generations", type=int, required=True)
    parser.add_argument("--pace", type=float, required=True, help="seconds between two signals")
    given = parser.parse_args()
    sizes = {"seed": given.seed, "population": given.population, "generations": given.generations}
    all_bred = [breed(symbol, **sizes) for symbol in MARKETS]
    version = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"[:20]
    model_ids = asyncio.run(register(all_bred, given.target, version))
    plan = interleave(all_bred)
    say("registered", version=version, model_ids=model_ids, signals=len(plan))
    if sys.stdin.readline():
        end_with_parent()
        asyncio.run(publish(plan, model_ids, given.target, given.pace))


if __name__ == "__main__":
    main()
