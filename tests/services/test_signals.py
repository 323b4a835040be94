"""Reading, listing and ending signals."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from typing import Any, Final, cast

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.signals import (
    a_signal,
    an_active_model,
    an_exchange,
    details,
    ending,
    publish,
    refusal,
    sort_always,
    written,
)

NO_SIGNAL: Final = str(uuid.uuid4())

LIST_FAULTS: Final = [
    (pb.ListSignalsRequest(page_size=-1), ["page_size"]),
    (pb.ListSignalsRequest(page_token="next"), ["page_token"]),
    (pb.ListSignalsRequest(symbols=["AAPL", ""], model_ids=["trend"]), ["model_ids[0]", "symbols[1]"]),
    (pb.ListSignalsRequest(symbols=["AAPL"] * 1001), ["symbols"]),
    (pb.ListSignalsRequest(signal_types=[pb.SIGNAL_TYPE_UNSPECIFIED]), ["signal_types[0]"]),
    (pb.ListSignalsRequest(states=[pb.SIGNAL_STATE_ACTIVE, cast(Any, 9)]), ["states[1]"]),
    (pb.ListSignalsRequest(min_confidence=math.nan), ["min_confidence"]),
    (pb.ListSignalsRequest(min_confidence=1.1), ["min_confidence"]),
    (pb.ListSignalsRequest(start_time=Timestamp(seconds=10**12)), ["start_time"]),
    (pb.ListSignalsRequest(end_time=Timestamp(nanos=-1)), ["end_time"]),
]


async def test_an_unknown_signal_is_not_found(database: str) -> None:
    async with an_exchange(database) as channel:
        stub = SignalServiceStub(channel)
        for call in (
            stub.GetSignal(pb.GetSignalRequest(signal_id=NO_SIGNAL)),
            stub.UpdateSignalState(pb.UpdateSignalStateRequest(signal_id=NO_SIGNAL, state=pb.SIGNAL_STATE_EXECUTED)),
        ):
            error = await refusal(call)
            assert error.code() == grpc.StatusCode.NOT_FOUND
            assert details(error)[:2] == ("SIGNAL_NOT_FOUND", {"signal_id": NO_SIGNAL})


async def test_a_list_holds_what_all_its_fields_select_latest_first(database: str) -> None:
    async with an_exchange(database) as channel:
        one, two = [await an_active_model(channel) for _ in range(2)]
        signals = [
            a_signal(one, signal_time=Timestamp(seconds=1)),
            a_signal(two, signal_time=Timestamp(seconds=2), symbol="MSFT", confidence=0.5),
            a_signal(one, signal_time=Timestamp(seconds=3), signal_type=pb.SIGNAL_TYPE_SELL),
            a_signal(two, signal_time=Timestamp(seconds=4), signal_type=pb.SIGNAL_TYPE_HOLD, confidence=0.1),
        ]
        await publish(channel, *signals)
        stub = SignalServiceStub(channel)
        await stub.UpdateSignalState(ending(signals[3]))
        selections = [
            (pb.ListSignalsRequest(), [4, 3, 2, 1]),
            (pb.ListSignalsRequest(symbols=["AAPL", "NONE"]), [4, 3, 1]),
            (pb.ListSignalsRequest(model_ids=[two.upper()]), [4, 2]),
            (pb.ListSignalsRequest(signal_types=[pb.SIGNAL_TYPE_SELL, pb.SIGNAL_TYPE_HOLD]), [4, 3]),
            (pb.ListSignalsRequest(states=[pb.SIGNAL_STATE_ACTIVE]), [3, 2, 1]),
            (pb.ListSignalsRequest(states=[pb.SIGNAL_STATE_ACTIVE, pb.SIGNAL_STATE_EXECUTED]), [4, 3, 2, 1]),
            (pb.ListSignalsRequest(min_confidence=0.5), [3, 2, 1]),
            (pb.ListSignalsRequest(start_time=Timestamp(seconds=2), end_time=Timestamp(seconds=4)), [3, 2]),
            (pb.ListSignalsRequest(symbols=["AAPL"], model_ids=[two], min_confidence=0.1), [4]),
        ]
        for selection, expected in selections:
            listed = (await stub.ListSignals(selection)).signals
            numbers = [signal.signal_time.seconds for signal in listed]
            assert numbers == expected, selection


async def test_all_pages_together_hold_every_signal_once_even_of_one_time(database: str) -> None:
    await sort_always(database)
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        signals = [a_signal(model, signal_time=Timestamp(seconds=second)) for second in (1, 2, 2, 2, 2, 2, 3)]
        await publish(channel, *signals)
        pages, request = [pb.ListSignalsResponse()], pb.ListSignalsRequest(page_size=2)
        while len(pages) == 1 or request.page_token:
            pages.append(await SignalServiceStub(channel).ListSignals(request))
            request.page_token = pages[-1].next_page_token
        assert [len(page.signals) for page in pages[1:]] == [2, 2, 2, 1]
        listed = [signal for page in pages for signal in page.signals]
        assert [signal.signal_time.seconds for signal in listed] == [3, 2, 2, 2, 2, 2, 1]
        assert {signal.signal_id for signal in listed} == {signal.signal_id for signal in signals}


async def test_a_list_names_the_field_at_fault(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        for request, fields in LIST_FAULTS:
            with subtests.test(str(fields)):
                error = await refusal(SignalServiceStub(channel).ListSignals(request))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, fields)


async def test_of_ten_bots_one_ends_a_signal(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database) as other:
        signal = a_signal(await an_active_model(one))
        await publish(one, signal)
        calls = [SignalServiceStub(channel).UpdateSignalState(ending(signal)) for channel in [one, other] * 5]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        errors = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
        [won] = [outcome for outcome in outcomes if isinstance(outcome, pb.UpdateSignalStateResponse)]
        assert (won.signal.state, won.position.sequence) == (pb.SIGNAL_STATE_EXECUTED, 2)
        metadata = {"signal_id": signal.signal_id, "state": "EXECUTED"}
        assert {error.code() for error in errors} == {grpc.StatusCode.FAILED_PRECONDITION}
        assert [details(error)[:2] for error in errors] == [("SIGNAL_NOT_ACTIVE", metadata)] * 9
        assert await written(database) == (1, 2)


async def test_a_repetition_with_its_request_id_finds_the_first_outcome(database: str) -> None:
    async with an_exchange(database) as channel:
        stub, signal = SignalServiceStub(channel), a_signal(await an_active_model(channel))
        await publish(channel, signal)
        request = ending(signal, request_id=str(uuid.uuid4()))
        assert await stub.UpdateSignalState(request) == await stub.UpdateSignalState(request)
        request.state = pb.SIGNAL_STATE_CANCELLED
        assert details(await refusal(stub.UpdateSignalState(request))).reason == "SIGNAL_NOT_ACTIVE"
        assert await written(database) == (1, 2)


async def test_an_end_that_makes_no_sense_changes_nothing(database: str, subtests: pytest.Subtests) -> None:
    states = [pb.SIGNAL_STATE_UNSPECIFIED, pb.SIGNAL_STATE_ACTIVE, pb.SIGNAL_STATE_EXPIRED, 9]
    faults: list[tuple[str, list[Any]]] = [("state", states), ("signal_id", ["", "1"]), ("request_id", ["1"])]
    async with an_exchange(database) as channel:
        stub, signal = SignalServiceStub(channel), a_signal(await an_active_model(channel))
        await publish(channel, signal)
        for field, values in faults:
            for value in values:
                with subtests.test(field, value=value):
                    error = await refusal(stub.UpdateSignalState(ending(signal, **{field: value})))
                    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                    assert details(error)[:3] == ("INVALID_FIELD", {}, [field])
    assert await written(database) == (1, 1)


async def test_a_signal_past_its_time_expires_through_the_log(database: str) -> None:
    async with an_exchange(database, sweep_interval=0.05) as channel:
        stub = SignalServiceStub(channel)
        latest, selection = streams_pb2.Latest(), pb.SignalFilter(kinds=[pb.SignalEvent.KIND_EXPIRED])
        events = stub.SubscribeSignals(pb.SubscribeSignalsRequest(latest=latest, filter=selection))
        assert (await anext(aiter(events))).HasField("started")
        model, soon = await an_active_model(channel), Timestamp()
        soon.FromNanoseconds(time.time_ns() + 100_000_000)
        signal = a_signal(model, expire_time=soon)
        await publish(channel, signal, a_signal(model))
        event = await anext(message.batch.events[0] async for message in events if message.HasField("batch"))
        assert (event.sequence, event.signal.signal_id) == (3, signal.signal_id)
        assert event.signal.state == pb.SIGNAL_STATE_EXPIRED
        assert event.commit_time.ToNanoseconds() >= soon.ToNanoseconds() // 1000 * 1000
        assert details(await refusal(stub.UpdateSignalState(ending(signal)))).metadata["state"] == "EXPIRED"
