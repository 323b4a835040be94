"""What surrounds every call: the request id, the log, the bounds, and what a client hears of a fault."""

from __future__ import annotations

import asyncio
import logging
import re
from importlib import import_module
from typing import Any, Final

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from ai_grpc.server import MODULES
from ai_grpc.v1 import models_pb2, signals_pb2
from ai_grpc.v1.models_pb2_grpc import ModelServiceStub
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.locks import appends_held, deadlock, waiters
from tests.performance import an_evaluation, record, signals
from tests.signals import a_model, a_signal, an_active_model, an_exchange, details, execute, publish, refusal, written
from tests.streams import EARLIEST, subscribe, until

SERVICES: Final = [
    service
    for module in MODULES.values()
    for service in import_module(module.__name__.removesuffix("_grpc")).DESCRIPTOR.services_by_name.values()
]
LOCK: Final = "SELECT FROM ai_trading.signal_performance WHERE performance_id = $1 FOR UPDATE"
METHODS: Final = [method for service in SERVICES for method in service.methods]


async def test_bytes_that_are_no_message_are_refused(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        for method in METHODS:
            with subtests.test(method.name):
                error = await refusal(send(channel, method, b"\xff"))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, ["request"])


def send(channel: Any, method: MethodDescriptor, data: bytes) -> Any:
    """Sends bytes instead of a message; awaits the first response."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    if method.client_streaming and method.server_streaming:
        return anext(aiter(channel.stream_stream(path)(iter([data]))))
    if method.client_streaming:
        return channel.stream_unary(path)(iter([data]))
    if method.server_streaming:
        return anext(aiter(channel.unary_stream(path)(data)))
    return channel.unary_unary(path)(data)


async def test_a_call_has_one_line_in_the_log_with_its_request_id(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ai_grpc.access")
    made = "[0-9a-f]{16}"
    ids = [("mine", "mine"), ("x" * 64, "x" * 64), ("x" * 65, made), ("", made), (None, made)]
    async with an_exchange(database) as channel:
        for given, expected in ids:
            metadata = None if given is None else [("x-request-id", given)]
            call = ModelServiceStub(channel).RegisterModel(a_model(), metadata=metadata)
            await call
            returned = dict(await call.trailing_metadata()).get("x-request-id")
            assert returned == (None if expected is made else given)
    lines = [line for message in caplog.messages for line in message.splitlines() if "RegisterModel" in line]
    for line, (_, expected) in zip(lines, ids, strict=True):
        assert re.search(rf" /ai_grpc\.v1\.ModelService/RegisterModel OK \d+\.\dms \S+ {expected}$", line)


async def test_the_log_says_why_a_call_was_refused(database: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ai_grpc.access")
    async with an_exchange(database) as channel:
        error = await refusal(publish(channel))
        returned = str(dict(error.trailing_metadata())["x-request-id"])
    assert re.search(rf"/PublishSignals INVALID_ARGUMENT INVALID_FIELD .* {returned}$", caplog.messages[-1])


async def test_a_stream_is_logged_when_it_ends(database: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ai_grpc.access")
    async with an_exchange(database) as channel:
        stream = subscribe(channel)
        await until(stream, "caught_up")
        assert "SubscribeSignals" not in caplog.text
        stream.cancel()
        # Before the drain, which would end the stream as well.
        await said(caplog, "SubscribeSignals")
    assert "/ai_grpc.v1.SignalService/SubscribeSignals CANCELLED" in caplog.text


async def said(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Returns when the log holds it; the exchange bounds the wait."""
    while True:
        if text in caplog.text:
            return
        await asyncio.sleep(0.01)


async def test_a_fault_of_the_server_stays_in_its_log(database: str, caplog: pytest.LogCaptureFixture) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        await publish(channel, a_signal(model))
    async with an_exchange(database) as channel:
        await execute(database, "ALTER TABLE ai_models RENAME TO gone")
        await execute(database, "ALTER FUNCTION signal_message RENAME TO gone")
        stub = SignalServiceStub(channel)
        messages = [signals_pb2.PublishSignalStreamRequest(signals=[a_signal(model)])]
        for call in (
            ModelServiceStub(channel).GetModel(models_pb2.GetModelRequest(model_id=model)),
            publish(channel, a_signal(model)),
            anext(aiter(stub.PublishSignalStream(iter(messages)))),
            until(subscribe(channel, earliest=EARLIEST), "caught_up"),
        ):
            error = await refusal(call)
            request_id = dict(error.trailing_metadata())["x-request-id"]
            assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "the server has a fault")
            assert details(error) == ("INTERNAL", {"request_id": request_id}, [], None)
            assert not re.search("gone|ai_models|signal_message|Traceback|asyncpg", str(error.trailing_metadata()))
            [record] = [each for each in caplog.records if str(request_id) in each.getMessage()]
            assert (record.levelname, bool(record.exc_info)) == ("ERROR", True)
    assert await written(database) == (1, 1)


async def test_one_call_too_many_is_refused_and_told_when_to_come_back(database: str) -> None:
    async with an_exchange(database, max_concurrent_calls=1) as channel:
        model = await an_active_model(channel)
        async with appends_held(database) as holder:
            first = publish(channel, a_signal(model))
            await waiters(holder, 1)
            error = await refusal(ModelServiceStub(channel).ListModels(models_pb2.ListModelsRequest()))
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert details(error) == ("OVERLOADED", {"limit": "1"}, [], 0.1)
        await first
        await ModelServiceStub(channel).ListModels(models_pb2.ListModelsRequest())


async def test_a_call_that_takes_too_long_is_given_up(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
    async with an_exchange(database, call_timeout=0.2) as channel, appends_held(database):
        error = await refusal(publish(channel, a_signal(model)))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert details(error).reason == "DEADLINE_EXCEEDED"


async def test_a_call_that_ends_a_deadlock_may_be_repeated(database: str) -> None:
    async with an_exchange(database) as channel:
        [signal_id] = await signals(channel, await an_active_model(channel), {})
        evaluations = sorted((an_evaluation(signal_id) for _ in range(3)), key=lambda one: one.performance_id)
        await record(channel, *evaluations)
        async with deadlock(database, LOCK, [one.performance_id for one in evaluations]):
            error = await refusal(record(channel, *evaluations))
        assert (error.code(), details(error).reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        assert (await record(channel, *evaluations)).duplicates == 3


async def test_reflection_lists_the_services(database: str) -> None:
    async with an_exchange(database) as channel:
        request = ServerReflectionRequest(list_services="")
        answers = ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))
        listed = {service.name for service in (await anext(aiter(answers))).list_services_response.service}
        assert listed == {
            *(service.full_name for service in SERVICES),
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }
