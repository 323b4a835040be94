"""The options that commands share."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

import typer

TARGETS: Final = ["localhost:50051"]
SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        "-t",
        envvar="AI_GRPC_TARGET",
        metavar="HOST:PORT",
        help="Where the service is, localhost:50051 if not said; several times for several replicas.",
    ),
]
TYPE: Final = typer.Option("--type", case_sensitive=False, metavar="BUY|SELL|HOLD")


class SignalType(StrEnum):
    """SignalType of the contract."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


class Kind(StrEnum):
    """SignalEvent.Kind of the contract."""

    PUBLISHED = "PUBLISHED"
    EXECUTED = "EXECUTED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


def span(text: str) -> timedelta:
    """A span of time as people write it. Raises BadParameter."""
    match = SPAN.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no span of time: write 30s, 10m, 2h or 1d")
    return timedelta(**{UNITS[match[2]]: float(match[1])})
