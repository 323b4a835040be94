"""The charts of the document: latency percentiles, throughput by concurrency, fan-out."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.fanout import sizes
from benchmarks.figures import PERCENTILES, Figures
from benchmarks.peers import HOMEMADE, JETSTREAM, REDIS_ALWAYS, REDIS_EVERYSEC
from benchmarks.publisher import IN_FLIGHT, OURS

# The same figures give the same file; text stays text.
matplotlib.rcParams.update({"svg.hashsalt": "ai_grpc", "svg.fonttype": "none", "font.size": 10})

COLOURS = {
    OURS: "#0b57d0",
    REDIS_ALWAYS: "#c5221f",
    REDIS_EVERYSEC: "#f29900",
    JETSTREAM: "#188038",
    HOMEMADE: "#7b4bb3",
}
LATENCIES = {
    "empty unary": "#9aa0a6",
    "append of 1": "#5f6368",
    "stream ack": "#4c8df6",
    "unary ack": "#0b57d0",
    "event": "#062e6f",
    f"{REDIS_ALWAYS}, 1 in flight": COLOURS[REDIS_ALWAYS],
    f"{REDIS_EVERYSEC}, 1 in flight": COLOURS[REDIS_EVERYSEC],
    f"{JETSTREAM}, 1 in flight": COLOURS[JETSTREAM],
    f"{HOMEMADE}, 1 in flight": COLOURS[HOMEMADE],
}


def draw(figures: Figures, subscribers: int, folder: Path) -> list[tuple[str, str]]:
    """Writes the charts of what was measured; returns their files and titles."""
    charts = [
        ("benchmarks-latency.svg", "Latency, one in flight", _latency(figures)),
        ("benchmarks-throughput.svg", "Signals a second by callers in flight", _throughput(figures)),
        ("benchmarks-fanout.svg", "Delivery of 100 signals a second, by subscribers", _fanout(figures, subscribers)),
    ]
    written = []
    for name, title, chart in charts:
        if chart is not None:
            chart.savefig(folder / name, metadata={"Date": None})
            written.append((name, title))
    return written


def _latency(figures: Figures) -> Figure | None:
    series = {
        name: [figures.median(f"{name} {percentile}") * 1000 for percentile in PERCENTILES]
        for name in LATENCIES
        if f"{name} p50" in figures.values
    }
    chart, axes = _chart("milliseconds")
    for name, values in series.items():
        axes.plot(list(PERCENTILES), values, marker="o", color=LATENCIES[name], label=name)
    _logarithmic(axes)
    return _finished(chart, axes)


def _throughput(figures: Figures) -> Figure | None:
    chart, axes = _chart("acknowledged signals a second")
    for name, colour in COLOURS.items():
        keys = [f"{name}, {in_flight} in flight rate" for in_flight in IN_FLIGHT]
        if all(key in figures.values for key in keys):
            width = 2.5 if name == OURS else 1.2
            rates = [figures.median(key) for key in keys]
            axes.plot(IN_FLIGHT, rates, marker="o", color=colour, linewidth=width, label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(IN_FLIGHT, [str(in_flight) for in_flight in IN_FLIGHT])
    _logarithmic(axes)
    axes.set_xlabel("callers, each with one signal in flight")
    return _finished(chart, axes)


def _fanout(figures: Figures, subscribers: int) -> Figure | None:
    chart, axes = _chart("milliseconds from publish to delivery")
    for suffix, colour in (("p50", "#4c8df6"), ("p99", "#062e6f")):
        names = {size: f"delivery to {size}" for size in sizes(subscribers)} | {subscribers: "delivery to all"}
        measured = {size: f"{name} {suffix}" for size, name in names.items() if f"{name} {suffix}" in figures.values}
        if measured:
            values = [figures.median(name) * 1000 for name in measured.values()]
            axes.plot(list(measured), values, marker="o", color=colour, label=suffix)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("subscribers of one server process")
    return _finished(chart, axes)


def _chart(label: str) -> tuple[Figure, Axes]:
    chart = Figure(figsize=(8, 4.2), layout="constrained")
    axes = chart.add_subplot()
    axes.set_ylabel(label)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return chart, axes


def _logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:,g}")


def _finished(chart: Figure, axes: Axes) -> Figure | None:
    """With a legend beside it; None if there is nothing in it."""
    if not axes.lines:
        return None
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9)
    return chart
