"""Subscriptions, and what they bring."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import grpc

from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub

Subscription = grpc.aio.UnaryStreamCall[pb.SubscribeSignalsRequest, pb.SubscribeSignalsResponse]

EARLIEST: Final = streams_pb2.Earliest()


def subscribe(channel: grpc.aio.Channel, **request: Any) -> Subscription:
    """A subscription, with the latest event behind it unless it says where to begin."""
    message = pb.SubscribeSignalsRequest(**request)
    if message.WhichOneof("start") is None:
        message.latest.SetInParent()
    return SignalServiceStub(channel).SubscribeSignals(message)


async def started(call: Subscription) -> pb.SubscribeSignalsResponse:
    """The first message: from now on nothing is missed."""
    first = await anext(aiter(call))
    assert first.HasField("started")
    return first


async def until(call: Subscription, kind: str) -> list[pb.SubscribeSignalsResponse]:
    """The next messages, up to and with the first of a kind."""
    messages: list[pb.SubscribeSignalsResponse] = []
    while not messages or messages[-1].WhichOneof("event") != kind:
        messages.append(await anext(aiter(call)))
    return messages


async def events(call: Subscription, count: int) -> list[pb.SignalEvent]:
    """The next events, so many and no more."""
    received: list[pb.SignalEvent] = []
    while len(received) < count:
        received += (await anext(aiter(call))).batch.events
    assert len(received) == count
    return received


def events_in(messages: Iterable[pb.SubscribeSignalsResponse]) -> list[pb.SignalEvent]:
    """The events that the messages carry."""
    return [event for message in messages for event in message.batch.events]


def sequences(received: Iterable[pb.SignalEvent]) -> list[int]:
    """Where in the log the events are."""
    return [event.sequence for event in received]
