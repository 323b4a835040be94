"""What `ai-grpc tail` does: the latest events as a table on a terminal, all of them as JSON lines in a pipe."""

from __future__ import annotations

import asyncio
import logging
import select
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC
from typing import Final

from google.protobuf.json_format import MessageToJson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text

from ai_grpc.client import SignalSubscriber
from ai_grpc.client.options import Start
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2

REFRESH_SECONDS: Final = 0.125
STDOUT_SECONDS: Final = 0.5
STYLES: Final = {"BUY": "green", "SELL": "red", "EXECUTED": "cyan", "CANCELLED": "yellow", "EXPIRED": "dim"}
COLUMNS: Final = ("sequence", "committed", "kind", "symbol", "type", "confidence", "target", "model")
RIGHT: Final = {"sequence", "confidence", "target"}


async def follow(
    targets: Sequence[str], start: Start, after: int | None, epoch: str, selection: pb.SignalFilter
) -> None:
    """Shows or prints the events until it is cancelled; then says how to go on."""
    position = None
    if after is not None:
        position = streams_pb2.Position(epoch=epoch or await _present_epoch(targets), sequence=after)
    console = Console()
    async with SignalSubscriber(targets, start=start, position=position, filter=selection) as subscriber:
        try:
            await (_show(subscriber, console) if console.is_terminal else _print(subscriber))
        except asyncio.CancelledError:
            if reached := subscriber.position:
                resume = f"resume with --after {reached.sequence} --epoch {reached.epoch}"
                print(f"ai-grpc: {resume}", file=sys.stderr)
            raise


async def _present_epoch(targets: Sequence[str]) -> str:
    async with SignalSubscriber(targets) as subscriber:
        await subscriber.receive()
        assert subscriber.position is not None
        return subscriber.position.epoch


async def _print(subscriber: SignalSubscriber) -> None:
    poll = select.poll()
    poll.register(sys.stdout, 0)
    # That nobody reads any more is noticed also while there is nothing to write.
    while not poll.poll(0):
        with suppress(TimeoutError):
            async with asyncio.timeout(STDOUT_SECONDS):
                async for event in subscriber:
                    print(_json(event), flush=True)
    raise BrokenPipeError


def _json(event: pb.SignalEvent) -> str:
    return MessageToJson(event, indent=None, preserving_proto_field_name=True, unquote_int64_if_possible=True)


async def _show(subscriber: SignalSubscriber, console: Console) -> None:
    latest: deque[pb.SignalEvent] = deque(maxlen=max(5, console.height - 6))
    with (
        Live(console=console, auto_refresh=False, vertical_overflow="crop") as live,
        _logging_above(console),
    ):
        drawn = 0.0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    latest.append(await anext(subscriber))
            if time.monotonic() - drawn >= REFRESH_SECONDS:
                live.update(_table(latest, subscriber), refresh=True)
                drawn = time.monotonic()


@contextmanager
def _logging_above(console: Console) -> Iterator[None]:
    """What the SDK has to say goes above the table, not into it."""
    log = logging.getLogger("ai_grpc.client")
    handler = RichHandler(console=console, show_time=False, show_level=False, show_path=False)
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = True
        log.removeHandler(handler)


def _table(events: deque[pb.SignalEvent], subscriber: SignalSubscriber) -> Table:
    state = "live" if subscriber.caught_up.is_set() else "catching up" if subscriber.position else "connecting"
    reached = f"position {subscriber.position.sequence}" if subscriber.position else "no position yet"
    table = Table(
        box=SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=f"{state} · {reached} · Ctrl-C ends", caption_justify="left"
    )
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in RIGHT else "left", no_wrap=True)
    for event in events:
        table.add_row(*_row(event))
    return table


def _row(event: pb.SignalEvent) -> list[Text]:
    signal = event.signal
    kind = pb.SignalEvent.Kind.Name(event.kind).removeprefix("KIND_")
    signal_type = pb.SignalType.Name(signal.signal_type).removeprefix("SIGNAL_TYPE_")
    committed = event.commit_time.ToDatetime(UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
    return [
        Text(str(event.sequence)),
        Text(committed),
        Text(kind, STYLES.get(kind, "")),
        Text(signal.symbol, "bold"),
        Text(signal_type, STYLES.get(signal_type, "")),
        Text(f"{signal.confidence:.4f}"),
        Text(signal.price_target),
        Text(signal.model_id[:8]),
    ]
