"""The part of the report that the service can tell without the bot: what it holds of models, signals and prices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from ai_grpc.demo.judgment import Judgment
from ai_grpc.demo.question import QUESTION
from ai_grpc.demo.story import Story
from ai_grpc.demo.study import SIGNIFICANT

UNKNOWN = "-"
FORMS = {
    "signal_accuracy": "{:.0%}",
    "win_rate": "{:.0%}",
    "sharpe_ratio": "{:.2f}",
    "total_return": "{:+.2%}",
    "max_drawdown": "{:.2%}",
    "avg_holding_period_hours": "{:.0f} h",
    "expected_calibration_error": "{:.2f}",
}


def judgment(story: Story) -> RenderableType:
    """How good the models were, as the service judges them."""
    headings = ("model", "accuracy", "won", "Sharpe", "return", "drawdown", "held", "ECE")
    table = Table(*headings, title=f"{story.signals} signals, as the service judges them by the closes after them")
    for symbol, judged in story.judgments.items():
        table.add_row(symbol, *figures(judged).values())
    kinds = Counter((one["symbol"], one["type"]) for one in story.acknowledged)
    counts = (f"{kinds[symbol, 'BUY']} BUY, {kinds[symbol, 'SELL']} SELL in {symbol}" for symbol in story.model_ids)
    table.caption = f"{'; '.join(counts)}. ECE, the expected calibration error: how far confidence is from accuracy."
    return table


def figures(judged: Judgment) -> dict[str, str]:
    """The metrics by their names, as they are shown; those that could not be computed are not invented."""
    messages = (judged.performance, judged.calibration)
    known = {field.name: value for message in messages for field, value in message.ListFields()}
    return {name: form.format(known[name]) if name in known else UNKNOWN for name, form in FORMS.items()}


def differing_returns(story: Story) -> Iterator[str]:
    """Where the bot has come to something else than its signals, and why; nothing if it has not."""
    ours = {symbol: figures(judged)["total_return"] for symbol, judged in story.judgments.items()}
    bots = {symbol: FORMS["total_return"].format(account["gain"]) for symbol, account in story.accounts.items()}
    differ = [f"{ours[symbol]} against {bots[symbol]} in {symbol}" for symbol in ours if ours[symbol] != bots[symbol]]
    if differ:
        yield (
            f"The service's returns are not the bot's: {', '.join(differ)}. It judges each signal by itself, at closes"
            " and without costs; the bot pays for each fill, holds one trade at a time, and is stopped within a bar."
        )


def cycles(story: Story) -> Iterator[str]:
    """What the spectra say."""
    if story.studies:
        found = (
            f"{study['cycle']:.1f} bars in {symbol} (significance {study['significance']:.2f})"
            for symbol, study in story.studies.items()
        )
        yield (
            f"The strongest cycle in the returns of the training part: {', '.join(found)}. Below {SIGNIFICANT} it"
            " may be chance."
        )


def rules(story: Story) -> Iterator[str]:
    """A question to the tables as a user would ask it, and the answer."""
    if not story.answer:
        return
    yield "\nWhich rule made the better signals? With --configured-database the tables stay, for questions like this:"
    yield escape(QUESTION.replace("$1", f"'{story.version}'"))
    table = [
        list(story.answer[0]),
        *(["" if one is None else str(one) for one in row.values()] for row in story.answer),
    ]
    yield from (f"  {symbol:<8}{rule:<7}{signals:>7}{mean:>14}" for symbol, rule, signals, mean in table)
