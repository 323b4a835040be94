"""Whether what everybody remembers is what the log says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from ai_grpc.client import connect
from ai_grpc.demo.journal import Entered
from ai_grpc.demo.paper import summary, trade
from ai_grpc.demo.prices import load
from ai_grpc.demo.signals import to_entry
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import signals_pb2_grpc, streams_pb2

READ_TIMEOUT = 30.0


@dataclass(frozen=True)
class Logged:
    """The events of some models, and the epoch of the log that has them."""

    epoch: str
    events: list[pb.SignalEvent]


async def read_log(target: str, model_ids: Iterable[str]) -> Logged:
    """Everything that happened to the models' signals, by a new subscription from the earliest event on."""
    request = pb.SubscribeSignalsRequest(earliest=streams_pb2.Earliest(), filter=pb.SignalFilter(model_ids=model_ids))
    events: list[pb.SignalEvent] = []
    async with connect(target) as channel:
        stub: signals_pb2_grpc.SignalServiceAsyncStub = signals_pb2_grpc.SignalServiceStub(channel)
        async for response in stub.SubscribeSignals(request, timeout=READ_TIMEOUT, wait_for_ready=True):
            events.extend(response.batch.events)
            if response.HasField("caught_up"):
                return Logged(response.position.epoch, events)
    raise TimeoutError("the log was not read to its end")


def differences(entered: Sequence[Entered], logged: Logged) -> list[str]:
    """How the bot's journal differs from the log, event by event, in order; empty if they are equal."""
    ours = ((one.epoch, one.sequence, one.kind, _content(one.to_signal())) for one in entered)
    theirs = ((logged.epoch, one.sequence, _kind(one), _content(one.signal)) for one in logged.events)
    return [
        f"event {number}: the bot has {_brief(one)}, the log has {_brief(other)}"
        for number, (one, other) in enumerate(zip_longest(ours, theirs), 1)
        if one != other
    ]


def unheard(heard: Mapping[str, Sequence[dict[str, Any]]], genes: Mapping[str, object], count: int) -> list[str]:
    """Where the stream of generations was not from 0 on, one after another, to the genes that the model took."""
    faults = []
    for symbol, generations in heard.items():
        numbers = [generation["number"] for generation in generations]
        if numbers != list(range(count)):
            faults.append(f"the generations of {symbol} came as {numbers}")
        elif generations[-1]["best"] != genes[symbol]:
            faults.append(f"the last generation of {symbol} has {generations[-1]['best']}, its model {genes[symbol]}")
    return faults


def unkept(acknowledged: Iterable[dict[str, Any]], logged: Logged) -> list[str]:
    """The acknowledged signals that are not in the log where the publisher was told."""
    places = {
        (one.signal.signal_id, one.sequence) for one in logged.events if one.kind == pb.SignalEvent.KIND_PUBLISHED
    }
    return [
        f"signal {one['signal_id']} was acknowledged as {one['sequence']} and is not there"
        for one in acknowledged
        if (one["signal_id"], one["sequence"]) not in places
    ]


def strayed(accounts: dict[str, dict[str, Any]], logged: Logged) -> list[str]:
    """Where the bot's accounts are not those of a bot that followed the whole log in one go."""
    faults = []
    for symbol, account in accounts.items():
        series = load(symbol)
        signals = [one.signal for one in logged.events if one.kind == pb.SignalEvent.KIND_PUBLISHED]
        entries = [to_entry(signal, series) for signal in signals if signal.symbol == symbol]
        expected = summary(series, trade(series, entries, series.split))
        if account != expected:
            faults.append(f"the account in {symbol} is {account}, and by the log it would be {expected}")
    return faults


def _content(signal: pb.Signal) -> pb.Signal:
    # The state is as of sending, which was another time for the bot.
    content = pb.Signal()
    content.CopyFrom(signal)
    content.ClearField("state")
    return content


def _kind(event: pb.SignalEvent) -> str:
    return pb.SignalEvent.Kind.Name(event.kind).removeprefix("KIND_")


def _brief(event: tuple[str, int, str, pb.Signal] | None) -> str:
    if event is None:
        return "nothing"
    epoch, sequence, kind, signal = event
    return f"{sequence} {kind} {signal.signal_id} of epoch {epoch}"
