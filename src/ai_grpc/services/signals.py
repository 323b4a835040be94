"""SignalService: the exchange behind gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.db import load_queries
from ai_grpc.errors import FailedPrecondition, InvalidArgument, NotFound, Violation
from ai_grpc.exchange.checks import check_selection, check_time
from ai_grpc.exchange.events import EventFilter
from ai_grpc.exchange.follower import Follower
from ai_grpc.exchange.publishing import publish_stream, results
from ai_grpc.exchange.subscribing import Subscriptions, Topic
from ai_grpc.exchange.writer import SignalWriter
from ai_grpc.pagination import page_of, paged
from ai_grpc.v1 import errors_pb2, streams_pb2
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.signals_pb2_grpc import SignalServiceServicer

SQL = load_queries("signals")
ENDED: Final = {pb.SIGNAL_STATE_EXECUTED: "EXECUTED", pb.SIGNAL_STATE_CANCELLED: "CANCELLED"}

Context = grpc.aio.ServicerContext[Any, Any]


class SignalServicer(SignalServiceServicer):
    """Writes go through the exchange, single signals come from `pool`, and lists from `reads`, maybe a replica."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        reads: asyncpg.Pool,
        writer: SignalWriter,
        log: Follower,
        subscriptions: Subscriptions,
    ) -> None:
        self._pool, self._reads, self._writer, self._log = pool, reads, writer, log
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
        return pb.GetSignalResponse(signal=await self._signal(request.signal_id))

    async def ListSignals(self, request: pb.ListSignalsRequest, context: Context) -> pb.ListSignalsResponse:
        page = page_of(request, "time")
        check_selection(
            request.symbols,
            request.model_ids,
            [
                ("signal_types", request.signal_types, pb.SignalType.values()),
                ("states", request.states, pb.SignalState.values()),
            ],
            request.min_confidence,
        )
        rows = await self._reads.fetch(
            SQL["list_signals"],
            page.size + 1,
            page.after_time,
            page.after_id,
            list(request.symbols),
            list(request.model_ids),
            [pb.SignalType.Name(value).removeprefix("SIGNAL_TYPE_") for value in request.signal_types],
            [pb.SignalState.Name(value).removeprefix("SIGNAL_STATE_") for value in request.states],
            request.min_confidence,
            _time(request, "start_time"),
            _time(request, "end_time"),
        )
        signals, token = paged(rows, page, _signal)
        return pb.ListSignalsResponse(signals=signals, next_page_token=token)

    async def UpdateSignalState(
        self, request: pb.UpdateSignalStateRequest, context: Context
    ) -> pb.UpdateSignalStateResponse:
        state = ENDED.get(request.state)
        if state is None:
            raise InvalidArgument(Violation("state", "must be EXECUTED or CANCELLED"))
        end = await self._pool.fetchrow(SQL["end_signal"], request.signal_id, state, request.request_id or None)
        if end is None:
            raise _unknown(request.signal_id)
        if not end["won"]:
            raise FailedPrecondition(
                errors_pb2.ERROR_REASON_SIGNAL_NOT_ACTIVE,
                f"signal {request.signal_id} is {end['ended_as']} already",
                signal_id=request.signal_id,
                state=end["ended_as"],
            )
        self._log.changed(end["log_sequence"])
        signal = await self._signal(request.signal_id)
        position = streams_pb2.Position(epoch=self._feed.epoch, sequence=end["log_sequence"])
        return pb.UpdateSignalStateResponse(signal=signal, position=position)

    async def _signal(self, signal_id: str) -> pb.Signal:
        row = await self._pool.fetchrow(SQL["get_signal"], signal_id)
        if row is None:
            raise _unknown(signal_id)
        return _signal(row)


def _unknown(signal_id: str) -> NotFound:
    return NotFound(errors_pb2.ERROR_REASON_SIGNAL_NOT_FOUND, f"signal {signal_id} does not exist", signal_id=signal_id)


def _signal(row: Any) -> pb.Signal:
    return pb.Signal(**{name: row[name] for name in pb.Signal.DESCRIPTOR.fields_by_name})


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


def _time(request: pb.ListSignalsRequest, field: str) -> datetime | None:
    """An optional time of the request. Raises InvalidArgument."""
    if not request.HasField(field):  # type: ignore[arg-type]  # one of the two names below
        return None
    time: Timestamp = getattr(request, field)
    check_time(field, time)
    return time.ToDatetime(UTC)
