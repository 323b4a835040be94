"""docs/benchmarks-scale.md."""

from __future__ import annotations

from typing import Any, Final

TARGET: Final = 0.005
PROGRAMS: Final = ("Python", "grpcio", "protobuf", "asyncpg", "uvloop", "PostgreSQL")
# Small, and read as a whole because of that.
SMALL: Final = {"ai_models", "ai_model_aliases"}

# Why a read misses, by its title; a rerun keeps what stands here.
_FIRST_VECTORS = (
    "A stream takes longer to open than a call to answer; the query is planned over 14 partitions (0.7 ms), and 64 "
    "vectors become messages (0.6 ms)."
)
_OF_ALL_PARTITIONS = (
    "Each answer is the latest of up to 15 partitions, one step into an index of each, after 0.5 to 0.9 ms of planning."
)
REASONS: Final[dict[str, str]] = {
    "ListSignals: active of a symbol": (
        "All that is ACTIVE is looked through for the symbol. An index of the symbol would be paid for by each signal "
        "that is appended."
    ),
    "ListSignals: cancelled": "One signal of a hundred: a hundred times as many that have ended are looked through.",
    "GetLatestFeatures: ten symbols, two sets": _OF_ALL_PARTITIONS,
    "GetFeaturesAsOf: ten symbols, two sets": _OF_ALL_PARTITIONS,
    "ReadFeatures: all symbols": _FIRST_VECTORS,
    "ReadFeatures: a symbol": _FIRST_VECTORS,
    "ReadFeatures: two symbols": _FIRST_VECTORS,
    "ReadFeatures: all symbols, a month": _FIRST_VECTORS,
}
METHOD: Final = """## How it is measured

- The rows are made by SQL (`tests/filling.py`): 97 symbols, signals of 50 models, three sets of features; signals over
  180 days, of which the last 0.4 % are ACTIVE; features over 84 days in partitions by month; 2 % of the anomalies open.
  Then VACUUM and ANALYZE, and the server is started again, with 64 MB of shared buffers.
- The same call is repeated, one in flight, through a server process over the loopback, so nothing comes from a disk.
  Client, server and PostgreSQL share the machine. *GetSignal: by id* is one row and tells what a call costs at least.
- *rows* are those that the query touched in tables and indexes, refused ones included. The plan is that of the query
  that the service sends for the call, carried out with the settings of its pools (EXPLAIN ANALYZE). Tables that are
  read as a whole stand under *scanned*; the models are few.
- Of ReadFeatures it is the first message. UpdateModelPerformance and GetCalibration compute from all evaluations of a
  month and have no target.
"""


def text(run: dict[str, Any]) -> str:
    """The document about a run."""
    facts = {
        "date": run["date"],
        "command": "`make bench-scale`",
        "machine": run["machine"],
        "versions": ", ".join(f"{name} {version}" for name, version in run["versions"].items() if name in PROGRAMS),
        "rows": ", ".join(f"{size:,} in {table}" for table, size in run["sizes"].items()),
        "length": f"{run['seconds'] / 60:.1f} minutes, {run['filled'] / 60:.1f} of them to fill the tables",
    }
    missed = [read["title"] for read in run["measured"] if _verdict(read) == "MISS"]
    reasons = [f"- **{title}**: {REASONS.get(title, 'the reason was not found.')}" for title in missed]
    parts = [
        "# Reads from millions of rows",
        "Written by `make bench-scale`. The target of lists, latest and as-of reads is a p50 under 5 ms without a "
        "sequential scan of a large table.",
        "\n".join(f"- {name}: {fact}" for name, fact in facts.items()),
        _table(run["measured"]),
        *(["### Why a target is missed", "\n".join(reasons)] if reasons else []),
        METHOD,
    ]
    return "\n\n".join(parts)


def _table(measured: list[dict[str, Any]]) -> str:
    lines = ["| read | p50 | p99 | rows | scanned | target | plan |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for read in measured:
        times = f"{read['p50'] * 1e3:.2f} ms | {read['p99'] * 1e3:.2f} ms"
        scanned = ", ".join(read["scanned"]) or "none"
        lines.append(
            f"| {read['title']} | {times} | {read['rows']:,.0f} | {scanned} | {_verdict(read)} | {read['shape']} |"
        )
    return "\n".join(lines)


def _verdict(read: dict[str, Any]) -> str:
    if not read["target"]:
        return ""
    return "met" if read["p50"] < TARGET and not set(read["scanned"]) - SMALL else "MISS"
