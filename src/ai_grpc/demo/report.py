"""What a demonstration has shown, in figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from ai_grpc.demo.findings import cycles, differing_returns, judgment, rules
from ai_grpc.demo.story import Message, Story

BARS = "▁▂▃▄▅▆▇█"
MOST_FAULTS = 5


def show(story: Story, console: Console) -> None:
    """Prints the report."""
    for part in (_evolution(story), _latency(story), _trading(story), judgment(story)):
        console.print()
        console.print(part)
    console.print()
    told = (_against_holding, differing_returns, cycles, _outage, _verdict, rules)
    for line in (line for tell in told for line in tell(story)):
        console.print(line, soft_wrap=True)


def sparkline(values: Sequence[float], width: int = 12) -> str:
    """The course of some values, as a line of bars."""
    chosen = [values[index * (len(values) - 1) // max(width - 1, 1)] for index in range(width)]
    low, high = min(chosen), max(chosen)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in chosen)


def percentiles(seconds: Sequence[float]) -> str:
    """Median and 99th percentile in milliseconds, and of how many."""
    if not seconds:
        return "none measured"
    middle, high = np.percentile(seconds, (50, 99)) * 1000
    return f"p50 {middle:.2f} ms, p99 {high:.2f} ms ({len(seconds)} signals)"


def _evolution(story: Story) -> RenderableType:
    table = Table("model", "average fitness", "best", "best genes", title="Evolution")
    for symbol, generations in story.generations.items():
        averages, last = [generation["average_fitness"] for generation in generations], generations[-1]
        course = f"{averages[0]:5.2f} {sparkline(averages)} {averages[-1]:.2f}"
        table.add_row(symbol, course, f"{last['best_fitness']:.2f}", _genes(last["best"]))
    table.caption = (
        f"{last['number']} generations, as heard through the stream. Fitness is the yearly Sharpe ratio on the training"
        " part, after costs, and less for few trades."
    )
    return table


def _genes(genes: Message) -> str:
    averages = f"SMA {genes['sma_short']}/{genes['sma_long']}"
    return f"{averages}, RSI {genes['rsi_period']} at {genes['rsi_oversold']}/{genes['rsi_overbought']}"


def _latency(story: Story) -> RenderableType:
    live = [one for one in story.journal if one.kind == "PUBLISHED" and one.live]
    delivered = [(one.received_ns - one.commit_ns) / 1e9 for one in live]
    table = Table("latency", "measured", title="On this machine", show_header=False)
    table.add_row("publish to acknowledgement", percentiles([one["seconds"] for one in story.acknowledged]))
    table.add_row("commit to the live bot reading it", percentiles(delivered))
    return table


def _trading(story: Story) -> RenderableType:
    headings = ("bot in", "from", "to", "trades", "won", "Sharpe", "return", "hold")
    table = Table(*headings, title="Paper trading on what evolution has not seen, and buy and hold")
    for symbol, account in story.accounts.items():
        figures = (f"{account['sharpe']:.2f}", f"{account['gain']:+.2%}", f"{account['hold']:+.2%}")
        counts = (str(account["trades"]), str(account["won"]))
        table.add_row(symbol, account["begin"], account["end"], *counts, *figures)
    table.caption = (
        "Fills at the close that the signal was made from, at the stop or at the profit. Each fill costs 0.05 % in GOOG"
        " and 0.01 % in EURUSD. No interest, no borrowing fees."
    )
    return table


def _against_holding(story: Story) -> Iterator[str]:
    for symbol, account in story.accounts.items():
        outcome = "beats" if account["gain"] > account["hold"] else "loses against"
        yield f"In {symbol} the bot {outcome} buy and hold: {account['gain']:+.2%}, not {account['hold']:+.2%}."


def _outage(story: Story) -> Iterator[str]:
    assert story.outage is not None
    after, pending = story.outage.after, story.outage.pending
    resumed = [one for one in story.journal if one.sequence > after]
    caught_up = sum(not one.live for one in resumed)
    yield (
        f"The bot was killed (SIGKILL) when it had written down sequence {after}, {pending} of its signals not yet seen"
        f" as executed. Started again, it went on with {resumed[0].sequence if resumed else 'nothing'} and caught up"
        f" {caught_up} events."
    )


def _verdict(story: Story) -> Iterator[str]:
    assert story.logged is not None
    if story.faults:
        yield f"[bold red]What the processes remember is NOT equal to the signal log: {len(story.faults)} faults."
        yield from map(escape, story.faults[:MOST_FAULTS])
        return
    events = story.logged.events
    yield (
        f"[bold green]The bot's log is equal to the signal log:[/] {len(events)} events, sequence {events[0].sequence}"
        f" to {events[-1].sequence}, compared one by one with a new subscription from the earliest event."
    )
    yield f"Each of the {len(story.acknowledged)} acknowledged signals is in it, where its publisher was told."
    yield "The bot's accounts are those of a bot that follows the whole log in one go."
