"""Appending to the log: once, whole, in order, and only what the database agrees with."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, Final

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from ai_grpc.app import running
from ai_grpc.v1 import errors_pb2
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.models_pb2 import SetModelActiveRequest
from ai_grpc.v1.models_pb2_grpc import ModelServiceStub
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.locks import appends_held, waiters
from tests.signals import (
    SIGNAL_TIME,
    a_signal,
    an_active_model,
    an_exchange,
    chosen,
    details,
    execute,
    publish,
    refusal,
    written,
)

NO_MODEL: Final = str(uuid.uuid4())


CHANGES: Final[list[dict[str, Any]]] = [
    {"symbol": "MSFT"},
    {"signal_type": pb.SIGNAL_TYPE_HOLD},
    {"confidence": 0.7501},
    {"price_target": "1.1"},
    {"stop_loss": "1"},
    {"take_profit": "0"},
    {"reference_price": ""},
    {"signal_time": Timestamp(seconds=SIGNAL_TIME.seconds, nanos=123_457_000)},
    {"market_data_time": SIGNAL_TIME},
    {"expire_time": Timestamp(seconds=2**33)},
    {"metadata": {}},
    {"metadata": {"a": 1, "b": None}},
    {"pattern_id": 0},
    {"trade_plan_id": 1},
]


async def test_the_same_signal_again_is_a_duplicate_for_ever(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database) as other:
        model = await an_active_model(one)
        signal = a_signal(model, price_target="1.50")
        first = await publish(one, signal, a_signal(model))
        await ModelServiceStub(one).SetModelActive(SetModelActiveRequest(model_id=model, active=False))
        await execute(database, "UPDATE ai_signals SET trade_plan_id = 7, status = 'EXECUTED'")
        signal.MergeFrom(pb.Signal(signal_id=signal.signal_id.upper(), price_target="1.5", confidence=0.750001))
        again = await publish(other, signal)
        assert again.epoch == first.epoch
        assert again.results == [pb.PublishResult(sequence=1, duplicate=True)]
        assert await written(database) == (2, 2)


async def test_the_same_id_with_other_content_is_refused_with_all_beside_it(
    database: str, subtests: pytest.Subtests
) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        fields = {"signal_id": str(uuid.uuid4()), "price_target": "1", "reference_price": "2", "metadata": {"a": 1}}
        await publish(channel, a_signal(model), a_signal(model, **fields))
        for change in CHANGES:
            with subtests.test(str(change)):
                error = await refusal(publish(channel, a_signal(model), a_signal(model, **{**fields, **change})))
                assert error.code() == grpc.StatusCode.ALREADY_EXISTS
                assert details(error)[:2] == ("SIGNAL_EXISTS", {"signal_id": fields["signal_id"], "sequence": "2"})
                assert await written(database) == (2, 2)


async def test_the_same_signal_from_everywhere_at_once_is_written_once(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database) as other:
        signal = a_signal(await an_active_model(one))
        responses = await asyncio.gather(*(publish(channel, signal) for channel in [one, other] * 10))
        results = [response.results[0] for response in responses]
        assert {result.sequence for result in results} == {1}
        assert sorted(result.duplicate for result in results) == [False] + [True] * 19
        assert await written(database) == (1, 1)


async def test_a_request_may_hold_duplicates_beside_new_signals(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        old = a_signal(model)
        await publish(channel, a_signal(model), old)
        response = await publish(channel, a_signal(model), old, a_signal(model))
        assert [(result.sequence, result.duplicate) for result in response.results] == [
            (3, False),
            (2, True),
            (4, False),
        ]


async def test_replicas_share_one_log_without_holes_whose_time_never_runs_back(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database) as other:
        model = await an_active_model(one)
        calls = [publish(channel, *(a_signal(model) for _ in range(3))) for channel in [one, other] * 20]
        responses = await asyncio.gather(*calls)
        runs = sorted([result.sequence for result in response.results] for response in responses)
        assert runs == [[start, start + 1, start + 2] for start in range(1, 121, 3)]
        times = [row[0] for row in await execute(database, "SELECT commit_time FROM signal_log ORDER BY sequence")]
        assert times == sorted(times)


async def test_only_the_request_at_fault_of_a_batch_is_refused(database: str) -> None:
    # As if the checks had let something through that the table refuses.
    await execute(database, "ALTER TABLE ai_signals ADD CONSTRAINT symbol_is_no_poison CHECK (symbol <> 'POISON')")
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        async with appends_held(database) as holder:
            requests = [
                [a_signal(model)],
                [a_signal(model)],
                [a_signal(model), a_signal(model, symbol="POISON")],
                [a_signal(model), a_signal(NO_MODEL)],
                [a_signal(model), a_signal(model)],
            ]
            calls = [publish(channel, *signals) for signals in requests]
            await waiters(holder, 1)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        reasons = [details(each).reason for each in outcomes if isinstance(each, grpc.aio.AioRpcError)]
        assert reasons == ["INVALID_FIELD", "MODEL_NOT_FOUND"]
        placed = [each.results for each in outcomes if isinstance(each, pb.PublishSignalsResponse)]
        assert [len(results) for results in placed] == [1, 1, 2]
        assert await written(database) == (4, 4)


async def test_a_full_queue_refuses_and_says_when_to_come_back(database: str) -> None:
    async with an_exchange(database, append_queue_rows=1000) as channel:
        model = await an_active_model(channel)
        async with appends_held(database) as holder:
            first = publish(channel, a_signal(model))
            await waiters(holder, 1)
            queued = publish(channel, *(a_signal(model) for _ in range(1000)))
            error = await refusal(publish(channel, a_signal(model)))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details(error) == ("OVERLOADED", {"limit": "1000 signals"}, [], 0.1)
        assert [len((await call).results) for call in (first, queued)] == [1, 1000]
        assert await written(database) == (1001, 1001)


async def test_what_waited_past_its_deadline_is_not_written(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        async with appends_held(database) as holder:
            first = publish(channel, a_signal(model))
            await waiters(holder, 1)
            late = SignalServiceStub(channel).PublishSignals(
                pb.PublishSignalsRequest(signals=[a_signal(model)]), timeout=0.2
            )
            assert (await refusal(late)).code() == grpc.StatusCode.DEADLINE_EXCEEDED
            # The server hears of it in the order of the connection.
            await an_active_model(channel)
        assert [result.sequence for result in (await first).results] == [1]
        assert [result.sequence for result in (await publish(channel, a_signal(model))).results] == [2]
        assert await written(database) == (2, 2)


async def test_a_stream_answers_every_message_in_order_and_outlives_a_bad_one(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        first, last = a_signal(model, symbol="FIRST"), a_signal(model, symbol="LAST")
        answers = await stream(
            channel,
            [first, a_signal(model)],
            [a_signal(model), a_signal(model, confidence=1.5)],
            [a_signal(NO_MODEL)],
            [first],
            [a_signal(model, signal_id=first.signal_id, symbol="OTHER")],
            [last],
        )
        assert [[(result.sequence, result.duplicate) for result in answer.results] for answer in answers] == [
            [(1, False), (2, False)],
            [],
            [],
            [(1, True)],
            [],
            [(3, False)],
        ]
        errors = [answer.error for answer in answers if answer.HasField("error")]
        assert [(error.code, error.reason, dict(error.metadata)) for error in errors] == [
            (3, errors_pb2.ERROR_REASON_INVALID_FIELD, {}),
            (5, errors_pb2.ERROR_REASON_MODEL_NOT_FOUND, {"model_id": NO_MODEL}),
            (6, errors_pb2.ERROR_REASON_SIGNAL_EXISTS, {"signal_id": first.signal_id, "sequence": "1"}),
        ]
        assert [each.field for each in errors[0].field_violations] == ["signals[1].confidence"]
        assert await written(database) == (3, 3)
        listed = await SignalServiceStub(channel).ListSignals(pb.ListSignalsRequest(symbols=["FIRST", "LAST"]))
        for signal in listed.signals:
            signal.ClearField("state")
            signal.ClearField("create_time")
        assert sorted(listed.signals, key=str) == sorted([first, last], key=str)


async def test_a_stream_is_written_in_its_order(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        answers = await stream(channel, *([a_signal(model)] for _ in range(300)))
        assert [answer.results[0].sequence for answer in answers] == list(range(1, 301))


async def test_a_stopping_server_answers_what_it_took_and_takes_no_more(database: str) -> None:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    async def serve() -> None:
        async with running(chosen(), database) as bound:
            port.set_result(bound)
            await stop.wait()

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(serve())
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{await port}")
        model = await an_active_model(channel)
        async with appends_held(database) as holder:
            stream = SignalServiceStub(channel).PublishSignalStream()
            await stream.write(pb.PublishSignalStreamRequest(signals=[a_signal(model)]))
            await waiters(holder, 1)
            queued = publish(channel, a_signal(model))
            await an_active_model(channel)
            health = HealthStub(channel).Watch(HealthCheckRequest())
            assert await anext(aiter(health)) == HealthCheckResponse(status=HealthCheckResponse.SERVING)
            stop.set()
            assert await anext(aiter(health)) == HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING)
            late = await refusal(publish(channel, a_signal(model)))
        answer = await stream.read()
        assert isinstance(answer, pb.PublishSignalStreamResponse)
        assert sorted([answer.results[0].sequence, (await queued).results[0].sequence]) == [1, 2]
        assert details(await refusal(stream.read())).reason == "DRAINING"
        assert late.code() == grpc.StatusCode.UNAVAILABLE
        await channel.close()
    assert await written(database) == (2, 2)


async def stream(channel: grpc.aio.Channel, *messages: list[pb.Signal]) -> list[pb.PublishSignalStreamResponse]:
    requests = (pb.PublishSignalStreamRequest(signals=signals) for signals in messages)
    return [answer async for answer in SignalServiceStub(channel).PublishSignalStream(requests)]


async def test_nothing_overtakes_a_message_that_must_be_repeated(database: str) -> None:
    async with an_exchange(database, lock_timeout=3) as channel:
        model = await an_active_model(channel)
        stream = SignalServiceStub(channel).PublishSignalStream()
        async with appends_held(database) as holder:
            await stream.write(pb.PublishSignalStreamRequest(signals=[a_signal(model)]))
            await waiters(holder, 1)
            for _ in range(3):
                await stream.write(pb.PublishSignalStreamRequest(signals=[a_signal(model)]))
            error = await refusal(stream.read())
            assert (error.code(), details(error).reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        # Whatever the stream had sent would come before this.
        assert (await publish(channel, a_signal(model))).results[0].sequence == 1
    assert await written(database) == (1, 1)
