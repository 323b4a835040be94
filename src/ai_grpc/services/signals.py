"""SignalService: the exchange behind gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from ai_grpc.errors import FailedPrecondition, InvalidArgument, Violation, missing
from ai_grpc.exchange.checks import check_selection
from ai_grpc.exchange.events import EventFilter
from ai_grpc.exchange.follower import Follower
from ai_grpc.exchange.publishing import publish_stream, results
from ai_grpc.exchange.subscribing import Subscriptions, Topic
from ai_grpc.exchange.writer import SignalWriter
from ai_grpc.records import Records
from ai_grpc.v1 import errors_pb2, streams_pb2
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.signals_pb2_grpc import SignalServiceServicer

ENDS: Final = (pb.SIGNAL_STATE_EXECUTED, pb.SIGNAL_STATE_CANCELLED)

Context = grpc.aio.ServicerContext[Any, Any]


class SignalServicer(SignalServiceServicer):
    """Writes go through the exchange; single signals and lists come from the records."""

    def __init__(self, records: Records, writer: SignalWriter, log: Follower, subscriptions: Subscriptions) -> None:
        self._records, self._writer, self._log = records, writer, log
        self._feed, self._subscriptions = log.feed, subscriptions
        self._topic = Topic(log.feed, log.reader, pb.SubscribeSignalsResponse, _selection)

    async def PublishSignals(self, request: pb.PublishSignalsRequest, context: Context) -> pb.PublishSignalsResponse:
        placed = await self._writer.submit(request.signals)
        return pb.PublishSignalsResponse(results=results(placed), epoch=self._feed.epoch)

    def PublishSignalStream(
        self, request_iterator: AsyncIterator[pb.PublishSignalStreamRequest], context: Context
    ) -> AsyncIterator[pb.PublishSignalStreamResponse]:
        return publish_stream(request_iterator, self._writer, self._feed)

    def SubscribeSignals(  # type: ignore[override]  # yields encoded messages: see interceptors._serialize
        self, request: pb.SubscribeSignalsRequest, context: Context
    ) -> AsyncIterator[bytes]:
        return self._subscriptions.messages(self._topic, request)

    async def GetSignal(self, request: pb.GetSignalRequest, context: Context) -> pb.GetSignalResponse:
        return pb.GetSignalResponse(signal=await self._signal(request))

    async def ListSignals(self, request: pb.ListSignalsRequest, context: Context) -> pb.ListSignalsResponse:
        check_selection(
            request.symbols,
            request.model_ids,
            [
                ("signal_types", request.signal_types, pb.SignalType.values()),
                ("states", request.states, pb.SignalState.values()),
            ],
            request.min_confidence,
        )
        signals, token = await self._records.page(pb.Signal, "list_signals", request)
        return pb.ListSignalsResponse(signals=signals, next_page_token=token)

    async def UpdateSignalState(
        self, request: pb.UpdateSignalStateRequest, context: Context
    ) -> pb.UpdateSignalStateResponse:
        if request.state not in ENDS:
            raise InvalidArgument(Violation("state", "must be EXECUTED or CANCELLED"))
        end = await self._records.row("end_signal", request)
        if end is None:
            raise missing("signal_id", request.signal_id)
        if not end["won"]:
            raise FailedPrecondition(
                errors_pb2.ERROR_REASON_SIGNAL_NOT_ACTIVE,
                f"signal {request.signal_id} is {end['ended_as']} already",
                signal_id=request.signal_id,
                state=end["ended_as"],
            )
        self._log.changed(end["log_sequence"])
        signal = await self._signal(request)
        position = streams_pb2.Position(epoch=self._feed.epoch, sequence=end["log_sequence"])
        return pb.UpdateSignalStateResponse(signal=signal, position=position)

    async def _signal(self, request: Message) -> pb.Signal:
        return await self._records.one(pb.Signal, "get_signal", request, "signal_id")


def _selection(request: pb.SubscribeSignalsRequest) -> EventFilter:
    """What a subscriber wants. Raises InvalidArgument."""
    wanted = request.filter
    check_selection(
        wanted.symbols,
        wanted.model_ids,
        [
            ("signal_types", wanted.signal_types, pb.SignalType.values()),
            ("kinds", wanted.kinds, pb.SignalEvent.Kind.values()),
        ],
        wanted.min_confidence,
        "filter.",
    )
    return EventFilter(wanted)
