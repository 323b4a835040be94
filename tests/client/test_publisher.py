"""SignalPublisher: every signal is acknowledged or refused once, whatever becomes of the others and the connection."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from ai_grpc.app import running
from ai_grpc.client import Published, SignalPublisher, new_signal_id
from ai_grpc.errors import AlreadyExists, FailedPrecondition, Internal, InvalidArgument, NotFound, Unavailable
from ai_grpc.v1 import errors_pb2, models_pb2
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.models_pb2_grpc import ModelServiceStub
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.client.conftest import Exchange
from tests.faults.database import administrator, no_appends, until_waiting
from tests.server import ServerProcess, serving
from tests.signals import (
    TEST_SECONDS,
    a_signal,
    an_active_model,
    chosen,
    execute,
    written,
)

NOWHERE = "127.0.0.1:1"


async def test_a_signal_is_published_and_its_repetition_finds_the_first(exchange: Exchange) -> None:
    signal_ = exchange.signal()
    async with SignalPublisher(exchange.target) as publisher:
        first = await publisher.publish(signal_)
        again = await publisher.publish(signal_)
    assert first == Published(signal_.signal_id, 1, False, first.epoch)
    assert again == first._replace(duplicate=True)
    assert uuid.UUID(first.epoch)


async def test_what_is_missing_is_filled_in_and_the_callers_signal_stays_as_it_is(exchange: Exchange) -> None:
    bare = exchange.signal(signal_id=None, signal_time=None)
    before = bare.SerializeToString(deterministic=True)
    async with SignalPublisher(exchange.target) as publisher:
        published = await publisher.publish(bare)
    assert bare.SerializeToString(deterministic=True) == before
    assert uuid.UUID(published.signal_id).version == 7
    response = await SignalServiceStub(exchange.channel).GetSignal(pb.GetSignalRequest(signal_id=published.signal_id))
    assert 0 <= response.signal.create_time.seconds - response.signal.signal_time.seconds <= 5


async def test_new_signal_ids_are_in_the_order_of_time() -> None:
    ids = []
    for _ in range(3):
        ids.append(new_signal_id())
        await asyncio.sleep(0.002)
    assert ids == sorted(ids)
    assert {(uuid.UUID(each).version, uuid.UUID(each).variant) for each in ids} == {(7, uuid.RFC_4122)}


async def test_many_signals_share_commits_and_keep_their_order(exchange: Exchange, database: str) -> None:
    async with SignalPublisher(exchange.target) as publisher:
        answers = [await publisher.submit(each) for each in exchange.signals(2500)]
        published = await asyncio.gather(*answers)
    assert [each.sequence for each in published] == list(range(1, 2501))
    commits = await execute(database, "SELECT count(DISTINCT commit_time) FROM signal_log")
    assert commits[0][0] <= 10


async def test_only_the_guilty_are_refused(exchange: Exchange) -> None:
    inactive = await an_active_model(exchange.channel)
    switch_off = models_pb2.SetModelActiveRequest(model_id=inactive, active=False)
    await ModelServiceStub(exchange.channel).SetModelActive(switch_off)
    first, unknown = exchange.signal(), str(uuid.uuid4())
    good = exchange.signals(60)
    bad = {
        7: exchange.signal(confidence=2.0, symbol=""),
        13: exchange.signal(model_id=unknown),
        14: exchange.signal(model_id=inactive.upper()),
        30: exchange.signal(signal_id=first.signal_id, symbol="MSFT"),
    }
    signals = good.copy()
    for index, each in bad.items():
        signals.insert(index, each)
    async with SignalPublisher(exchange.target) as publisher:
        await publisher.publish(first)
        answers = [await publisher.submit(each) for each in signals]
        results = await asyncio.gather(*answers, return_exceptions=True)
    refused = {index: result for index, result in enumerate(results) if isinstance(result, Exception)}
    assert refused.keys() == bad.keys()
    assert isinstance(refused[7], InvalidArgument)
    assert [violation.field for violation in refused[7].violations] == ["symbol", "confidence"]
    assert isinstance(refused[13], NotFound)
    assert (refused[13].reason, refused[13].metadata) == (
        errors_pb2.ERROR_REASON_MODEL_NOT_FOUND,
        {"model_id": unknown},
    )
    assert isinstance(refused[14], FailedPrecondition)
    assert refused[14].reason == errors_pb2.ERROR_REASON_MODEL_INACTIVE
    assert isinstance(refused[30], AlreadyExists)
    assert refused[30].metadata == {"signal_id": first.signal_id, "sequence": "1"}
    places = [result.sequence for result in results if isinstance(result, Published)]
    assert sorted(places) == list(range(2, 62))


async def test_more_faults_than_a_refusal_names_are_all_found(exchange: Exchange) -> None:
    signals = [exchange.signal(symbol="", confidence=index) for index in range(2, 302)]
    signals += [exchange.signal(model_id=str(uuid.uuid4())) for _ in range(50)]
    signals += exchange.signals(100)
    random.shuffle(signals)
    async with SignalPublisher(exchange.target) as publisher:
        answers = [await publisher.submit(each) for each in signals]
        results = await asyncio.gather(*answers, return_exceptions=True)
    kinds = [type(result) for result in results]
    assert [kinds.count(kind) for kind in (InvalidArgument, NotFound, Published)] == [300, 50, 100]


async def test_one_message_at_a_time_keeps_the_order_whatever_is_refused(exchange: Exchange) -> None:
    signals = exchange.signals(2500)
    for index in random.sample(range(2500), 40):
        signals[index].confidence = 2
    async with SignalPublisher(exchange.target, max_messages=1) as publisher:
        answers = [await publisher.submit(each) for each in signals]
        results = await asyncio.gather(*answers, return_exceptions=True)
    places = [result.sequence for result in results if isinstance(result, Published)]
    assert places == list(range(1, 2461))


async def test_an_id_given_twice_at_once_is_published_once(exchange: Exchange) -> None:
    signal_ = exchange.signal()
    loud = exchange.signal()
    loud.CopyFrom(signal_)
    loud.signal_id = signal_.signal_id.upper()
    async with SignalPublisher(exchange.target) as publisher:
        results = await asyncio.gather(*(publisher.publish(each) for each in (signal_, loud, signal_)))
    assert [result.sequence for result in results] == [1, 1, 1]
    assert [result.duplicate for result in results] == [False, True, True]


async def test_a_signal_too_large_for_a_message_is_refused_and_large_ones_are_spread(exchange: Exchange) -> None:
    large = exchange.signals(600)
    for each in large:
        each.metadata.update({"text": "x" * 16_000})
    async with SignalPublisher(exchange.target) as publisher:
        answers = [await publisher.submit(each) for each in large]
        await asyncio.gather(*answers)
        with pytest.raises(InvalidArgument, match="at most 3670016 can be sent"):
            await publisher.publish(exchange.signal(symbol="x" * 4_000_000))
        assert (await publisher.publish(exchange.signal())).sequence == 601


async def test_callers_wait_when_enough_is_in_flight(exchange: Exchange, database: str) -> None:
    async with administrator(database) as admin, SignalPublisher(exchange.target, max_in_flight=10) as publisher:
        async with no_appends(admin):
            answers = [await publisher.submit(each) for each in exchange.signals(10)]
            await until_waiting(admin, "append", 1)
            with pytest.raises(TimeoutError):
                await publisher.submit(exchange.signal(), timeout=0.2)
            waiting = [asyncio.create_task(publisher.publish(each)) for each in exchange.signals(10)]
            await asyncio.sleep(0)
        await asyncio.gather(*answers)
        assert [each.sequence for each in await asyncio.gather(*waiting)] == list(range(11, 21))


async def test_no_answer_in_time_leaves_the_outcome_open(exchange: Exchange, database: str) -> None:
    signal_ = exchange.signal()
    async with administrator(database) as admin, SignalPublisher(exchange.target) as publisher:
        async with no_appends(admin):
            with pytest.raises(TimeoutError, match=signal_.signal_id):
                await publisher.publish(signal_, timeout=0.3)
        again = await publisher.publish(signal_)
    assert again.sequence == 1
    assert await written(database) == (1, 1)


async def test_a_caller_who_gives_up_disturbs_nobody(exchange: Exchange, database: str) -> None:
    async with administrator(database) as admin, SignalPublisher(exchange.target) as publisher:
        async with no_appends(admin):
            tasks = [asyncio.create_task(publisher.publish(each)) for each in exchange.signals(20)]
            await until_waiting(admin, "append", 1)
            for task in tasks[::2]:
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, Published) for result in results] == [False, True] * 10


async def test_a_full_server_is_asked_again(database: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ai_grpc.client")
    async with (
        asyncio.timeout(TEST_SECONDS),
        running(chosen(append_queue_rows=1000), database) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        administrator(database) as admin,
        SignalPublisher(f"127.0.0.1:{port}", max_messages=8) as publisher,
    ):
        model_id = await an_active_model(channel)
        async with no_appends(admin):
            answers = [await publisher.submit(a_signal(model_id)) for _ in range(6000)]
            await until_waiting(admin, "append", 1)
        assert sorted(each.sequence for each in await asyncio.gather(*answers)) == list(range(1, 6001))
    assert "1000 signals are waiting to be written" in caplog.text


async def test_nobody_at_the_target_is_said(exchange: Exchange) -> None:
    async with SignalPublisher(NOWHERE) as publisher:
        with pytest.raises(TimeoutError, match="Connection refused"):
            await publisher.publish(exchange.signal(), timeout=3)


async def test_what_waits_at_the_end_is_answered_first(exchange: Exchange) -> None:
    async with SignalPublisher(exchange.target) as publisher:
        answers = [await publisher.submit(each) for each in exchange.signals(500)]
    assert [answer.result().sequence for answer in answers] == list(range(1, 501))
    with pytest.raises(Unavailable, match="closed"):
        await publisher.publish(exchange.signal())


async def test_an_error_does_not_wait_for_answers(exchange: Exchange, database: str) -> None:
    answers: list[asyncio.Future[Published]] = []

    async def fail() -> None:
        async with SignalPublisher(exchange.target) as publisher:
            answers.append(await publisher.submit(exchange.signal()))
            raise LookupError

    async with administrator(database) as admin, no_appends(admin):
        with pytest.raises(LookupError):
            await fail()
    assert isinstance(answers[0].exception(), Unavailable)


async def test_a_service_that_is_another_one_is_an_error() -> None:
    async with _server() as target, SignalPublisher(target) as publisher:
        with pytest.raises(Internal, match="UNIMPLEMENTED"):
            await publisher.publish(a_signal(str(uuid.uuid4())), timeout=10)


async def reticent(
    requests: AsyncIterator[pb.PublishSignalStreamRequest], context: object
) -> AsyncIterator[pb.PublishSignalStreamResponse]:
    """PublishSignalStream that refuses what holds a signal without a symbol, and does not say which."""
    count = 0
    async for request in requests:
        if all(each.symbol for each in request.signals):
            results = [pb.PublishResult(sequence=count + n) for n in range(1, len(request.signals) + 1)]
            count += len(results)
            yield pb.PublishSignalStreamResponse(results=results)
        else:
            error = errors_pb2.Error(code=13, reason=errors_pb2.ERROR_REASON_INTERNAL, message="a fault")
            yield pb.PublishSignalStreamResponse(error=error)


async def test_the_guilty_are_found_when_the_refusal_does_not_name_them() -> None:
    signals = [a_signal(str(uuid.uuid4()), symbol="" if index % 50 == 7 else "AAPL") for index in range(300)]
    async with _server(PublishSignalStream=reticent) as target, SignalPublisher(target) as publisher:
        answers = [await publisher.submit(each, timeout=10) for each in signals]
        results = await asyncio.gather(*answers, return_exceptions=True)
    assert [index for index, result in enumerate(results) if isinstance(result, Internal)] == list(range(7, 300, 50))
    assert sum(isinstance(result, Published) for result in results) == 294


async def test_a_server_that_stands_still_is_left_for_the_next_one(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ai_grpc.client.lane.LONGEST_SILENCE", 2)
    async with serving(database, tmp_path / "1.log") as first, serving(database, tmp_path / "2.log") as second:
        model_id = await _model(second)
        async with SignalPublisher([first.target, second.target]) as publisher:
            assert (await publisher.publish(a_signal(model_id))).sequence == 1
            os.kill(first.pid, signal.SIGSTOP)
            try:
                published = await asyncio.gather(
                    # Sooner than a ping of the connection would find out.
                    *(publisher.publish(a_signal(model_id), timeout=12) for _ in range(50))
                )
            finally:
                os.kill(first.pid, signal.SIGCONT)
    assert sorted(each.sequence for each in published) == list(range(2, 52))


async def test_killed_and_drained_servers_lose_and_double_nothing(database: str, tmp_path: Path) -> None:
    acknowledged: asyncio.Queue[Published] = asyncio.Queue()
    stop = asyncio.Event()
    places: dict[str, int] = {}

    async def publish_on(publisher: SignalPublisher, model_id: str) -> None:
        while not stop.is_set():
            acknowledged.put_nowait(await publisher.publish(a_signal(model_id)))

    async def take(count: int) -> None:
        for _ in range(count):
            published = await asyncio.wait_for(acknowledged.get(), 30)
            places[published.signal_id] = published.sequence

    async with serving(database, tmp_path / "1.log") as first, serving(database, tmp_path / "2.log") as second:
        model_id = await _model(first)
        async with SignalPublisher([first.target, second.target]) as publisher, asyncio.TaskGroup() as group:
            for _ in range(32):
                group.create_task(publish_on(publisher, model_id))
            for server in (first, second, first, second):
                await take(500)
                await (server.kill() if server is first else server.terminate())
                await server.start()
            await take(500)
            stop.set()
    await take(acknowledged.qsize())
    rows = await execute(database, "SELECT signal_id::text, sequence FROM ai_signals")
    assert {row["signal_id"]: row["sequence"] for row in rows} == places
    assert sorted(places.values()) == list(range(1, len(places) + 1))


async def test_it_goes_on_when_the_only_server_comes_back(database: str, tmp_path: Path) -> None:
    async with serving(database, tmp_path / "log") as server:
        model_id = await _model(server)
        async with SignalPublisher(server.target) as publisher:
            await publisher.publish(a_signal(model_id))
            await server.kill()
            waiting = [await publisher.submit(a_signal(model_id)) for _ in range(10)]
            await server.start()
            assert [each.sequence for each in await asyncio.gather(*waiting)] == list(range(2, 12))


async def _model(server: ServerProcess) -> str:
    async with grpc.aio.insecure_channel(server.target) as channel:
        return await an_active_model(channel)


@asynccontextmanager
async def _server(**methods: Any) -> AsyncIterator[str]:
    """A server that is not ours, for what ours does not do."""
    server = grpc.aio.server()
    handlers = {
        name: grpc.stream_stream_rpc_method_handler(
            method,
            pb.PublishSignalStreamRequest.FromString,
            pb.PublishSignalStreamResponse.SerializeToString,
        )
        for name, method in methods.items()
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("ai_grpc.v1.SignalService", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
