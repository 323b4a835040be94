"""The commands that publish signals and follow them. Heavy imports wait inside them, so that `--help` is quick."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ai_grpc.cli_options import TARGETS, TYPE, Kind, SignalType, Targets, span

if TYPE_CHECKING:
    from ai_grpc.client.options import Start
    from ai_grpc.v1 import signals_pb2 as pb

T = TypeVar("T")

# The core of gRPC would tell on stderr that a server said goodbye.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


def publish(
    target: Targets = None,
    model: Annotated[str | None, typer.Option(metavar="ID", help="The model_id.")] = None,
    symbol: Annotated[str | None, typer.Option(metavar="SYMBOL", help="What to trade.")] = None,
    signal_type: Annotated[SignalType | None, TYPE] = None,
    confidence: Annotated[float | None, typer.Option(help="Between 0 and 1.")] = None,
    price_target: Annotated[
        str, typer.Option(metavar="PRICE", help="The price that the model expects.", show_default=False)
    ] = "",
    stop_loss: Annotated[str, typer.Option(metavar="PRICE", show_default=False)] = "",
    take_profit: Annotated[str, typer.Option(metavar="PRICE", show_default=False)] = "",
    reference_price: Annotated[
        str, typer.Option(metavar="PRICE", help="The price of the moment.", show_default=False)
    ] = "",
    expire: Annotated[
        str | None, typer.Option(metavar="SPAN", help="How long it is good advice: 30s, 10m, 2h.")
    ] = None,
    signal_id: Annotated[
        str, typer.Option(metavar="UUID", help="One is made if there is none.", show_default=False)
    ] = "",
    timeout: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds to wait for each answer.")] = 30,
) -> None:
    """Publishes a signal, or those that come as JSON lines on stdin.

    Prints for each, in order, where in the log it is, as a JSON line.

    A line that is refused is named on stderr; the others are published all the same, and the exit status is 1.

    Examples:

    ai-grpc publish --model ID --symbol EURUSD --type BUY --confidence 0.8 --price-target 1.0950

    ai-grpc publish --target one:50051 --target two:50051 < signals.jsonl

    with lines such as {"model_id": "ID", "symbol": "EURUSD", "signal_type": "SIGNAL_TYPE_BUY", "confidence": 0.8}
    """
    from ai_grpc.cli_publishing import publish_lines, publish_one

    required = {"--model": model, "--symbol": symbol, "--type": signal_type, "--confidence": confidence}
    missing = [option for option, value in required.items() if value is None]
    if len(missing) == len(required) and not sys.stdin.isatty():
        raise typer.Exit(0 if _run(publish_lines(target or TARGETS, timeout)) == 0 else 1)
    if missing:
        raise typer.BadParameter(f"{', '.join(missing)} missing; without any of them, JSON lines are read from stdin")
    signal = _signal(
        signal_id=signal_id,
        model_id=model,
        symbol=symbol,
        signal_type=f"SIGNAL_TYPE_{signal_type}",
        confidence=confidence,
        price_target=price_target,
        stop_loss=stop_loss,
        take_profit=take_profit,
        reference_price=reference_price,
        expire_time=None if expire is None else datetime.now(UTC) + span(expire),
    )
    _run(publish_one(target or TARGETS, signal, timeout))


def tail(
    target: Targets = None,
    after: Annotated[int | None, typer.Option(min=0, metavar="N", help="After this sequence.")] = None,
    epoch: Annotated[
        str, typer.Option(metavar="UUID", help="The history of the log that N belongs to.", show_default=False)
    ] = "",
    earliest: Annotated[bool, typer.Option("--earliest", help="With the oldest event that the log still has.")] = False,
    current: Annotated[bool, typer.Option("--current", help="With the signals that are ACTIVE now.")] = False,
    since: Annotated[str | None, typer.Option(metavar="SPAN", help="With the events of the last 30s, 10m, 2h.")] = None,
    symbol: Annotated[
        list[str] | None, typer.Option(metavar="SYMBOL", help="Only this one; several times for several.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(metavar="ID", help="Only this model_id.")] = None,
    signal_type: Annotated[list[SignalType] | None, TYPE] = None,
    min_confidence: Annotated[float, typer.Option(min=0, max=1)] = 0,
    kind: Annotated[
        list[Kind] | None, typer.Option(case_sensitive=False, metavar="PUBLISHED|EXECUTED|CANCELLED|EXPIRED")
    ] = None,
) -> None:
    """Follows the log, from now on unless told otherwise: a table on a terminal, JSON lines in a pipe.

    It goes on through restarts of the service. Ctrl-C ends it, and tells how to go on from there.

    Examples:

    ai-grpc tail --current --symbol EURUSD --symbol GBPUSD --min-confidence 0.7

    ai-grpc tail --earliest --kind EXECUTED | jq .signal.symbol

    ai-grpc tail --after 1200 --epoch 6c0a6d1e-9f54-4a8e-8f38-0c7f5d2b1a9e >> events.jsonl
    """
    from ai_grpc.cli_tailing import follow
    from ai_grpc.v1 import signals_pb2 as pb

    if sum([after is not None, earliest, current, since is not None]) > 1:
        raise typer.BadParameter("--after, --earliest, --current and --since exclude each other")
    start: Start = "earliest" if earliest else "current" if current else "latest"
    if since is not None:
        start = datetime.now(UTC) - span(since)
    selection = pb.SignalFilter(
        symbols=symbol,
        model_ids=model,
        signal_types=[pb.SignalType.Value(f"SIGNAL_TYPE_{each}") for each in signal_type or []],
        min_confidence=min_confidence,
        kinds=[pb.SignalEvent.Kind.Value(f"KIND_{each}") for each in kind or []],
    )
    with suppress(KeyboardInterrupt):
        _run(follow(target or TARGETS, start, after, epoch, selection))


def _signal(**fields: Any) -> pb.Signal:
    from ai_grpc.v1 import signals_pb2 as pb

    return pb.Signal(**fields)


def _run(coroutine: Coroutine[Any, Any, T]) -> T | None:
    """Runs until it is done, or nobody reads stdout any more."""
    try:
        return asyncio.run(coroutine)
    except* BrokenPipeError:
        # What is still in the buffer shall not be an error when Python flushes it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return None
