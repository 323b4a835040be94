"""The model process: breeds rules for each symbol, studies its prices, and publishes where the rules fire later."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime

from ai_grpc.client import SignalPublisher, connect
from ai_grpc.demo.breeding import Bred, Breeder
from ai_grpc.demo.leash import end_with_parent
from ai_grpc.demo.prices import MARKETS, load
from ai_grpc.demo.processes import say
from ai_grpc.demo.rules import Entry
from ai_grpc.demo.signals import confidence, to_signal
from ai_grpc.demo.study import study
from ai_grpc.v1 import signals_pb2 as pb


async def prepare(target: str, *, seed: int, population: int, generations: int) -> list[Bred]:
    """Registers a model for each symbol, studies the prices and breeds the rules, and tells of each step."""
    version = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"[:20]
    all_series = [load(symbol) for symbol in MARKETS]
    async with connect(target) as channel:
        breeder = Breeder(channel, seed=seed, population=population, generations=generations)
        model_ids = {series.symbol: await breeder.register(series, version) for series in all_series}
        say("registered", version=version, model_ids=model_ids)
        studies = {series.symbol: await study(channel, series, model_ids[series.symbol]) for series in all_series}
        say("studied", studies={symbol: asdict(one) for symbol, one in studies.items()})
        all_bred = [await breeder.breed(series, model_ids[series.symbol]) for series in all_series]
    genes = {bred.series.symbol: asdict(bred.best) for bred in all_bred}
    say("bred", genes=genes, signals=sum(len(bred.later) for bred in all_bred))
    return all_bred


def interleave(all_bred: list[Bred]) -> list[tuple[Bred, Entry]]:
    """The entries of all symbols, each symbol's in order, as if their trading parts were of one length."""
    return sorted(
        ((bred, entry) for bred in all_bred for entry in bred.later), key=lambda one: one[1].bar / len(one[0].series)
    )


async def publish(plan: list[tuple[Bred, Entry]], target: str, pace: float) -> None:
    """Publishes signal after signal, and tells how long each took to be acknowledged."""
    async with SignalPublisher(target) as publisher:
        for bred, entry in plan:
            series, sure = bred.series, confidence(entry, bred.training)
            signal = to_signal(entry, series, model_id=bred.model_id, confidence=sure)
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
    all_bred = asyncio.run(prepare(given.target, **sizes))
    if sys.stdin.readline():
        end_with_parent()
        asyncio.run(publish(interleave(all_bred), given.target, given.pace))


if __name__ == "__main__":
    main()
