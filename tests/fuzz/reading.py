"""Whatever was accepted can be read: no stored value breaks a list or a subscription."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import grpc

from ai_grpc.v1 import models_pb2, streams_pb2
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.models_pb2_grpc import ModelServiceStub
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.faults.database import administrator
from tests.signals import a_signal, an_active_model, publish
from tests.streams import subscribe

if TYPE_CHECKING:
    from tests.fuzz.target import Target

SECONDS: Final = 120
COUNTS: Final = """
SELECT (SELECT count(*) FROM ai_trading.ai_signals), (SELECT count(*) FROM ai_trading.ai_models),
  (SELECT count(*) FROM ai_trading.signal_log)
"""


async def unreadable(target: Target) -> list[str]:
    """What cannot be read back, or no longer be written, once everything was sent."""
    channel = target.channels[0]
    try:
        async with asyncio.timeout(SECONDS), administrator(target.dsn) as admin:
            await publish(channel, a_signal(await an_active_model(channel)))
            stored = tuple(await admin.fetchrow(COUNTS))
            read = await _signals(channel), await _models(channel), await _events(channel, stored[2])
    except (grpc.aio.AioRpcError, TimeoutError) as error:
        return [f"after all that, a proper client fails: {error!r}"]
    return [] if read == stored else [f"signals, models and events are stored {stored} and read {read}"]


async def _signals(channel: grpc.aio.Channel) -> int:
    stub, request, count = SignalServiceStub(channel), pb.ListSignalsRequest(page_size=1000), 0
    while True:
        page = await stub.ListSignals(request)
        count += len(page.signals)
        if not page.next_page_token:
            return count
        request.page_token = page.next_page_token


async def _models(channel: grpc.aio.Channel) -> int:
    stub, request, count = ModelServiceStub(channel), models_pb2.ListModelsRequest(page_size=1000), 0
    while True:
        page = await stub.ListModels(request)
        count += len(page.models)
        if not page.next_page_token:
            return count
        request.page_token = page.next_page_token


async def _events(channel: grpc.aio.Channel, head: int) -> int:
    """How many events a subscriber from the very first gets up to a sequence."""
    call, count = subscribe(channel, earliest=streams_pb2.Earliest()), 0
    try:
        async for message in call:
            count += len(message.batch.events)
            if message.position.sequence >= head:
                break
    finally:
        call.cancel()
    return count
