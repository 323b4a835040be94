"""A call that gave up before its append began has written nothing; one that had the patience has."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import grpc

from ai_grpc.v1 import signals_pb2 as pb
from tests.faults.bare import stubs_of
from tests.faults.database import PATIENT, administrator, no_appends, until_waiting
from tests.faults.history import check_log, the_log
from tests.server import serving
from tests.signals import a_signal, an_active_model, reason


async def test_deadline_that_passes_while_waiting_writes_nothing(database: str, tmp_path: Path) -> None:
    async with (
        serving(database, tmp_path / "log", PATIENT) as server,
        stubs_of([server]) as (stub,),
        grpc.aio.insecure_channel(server.target) as channel,
        administrator(database) as admin,
        asyncio.timeout(60),
    ):
        model_id = await an_active_model(channel)
        in_flight, *others = [a_signal(model_id) for _ in range(41)]
        hasty, patient = others[::2], others[1::2]
        async with no_appends(admin):
            first = asyncio.ensure_future(stub.PublishSignals(_request(in_flight), timeout=30))
            await until_waiting(admin, "append", 1)
            waiting = [
                asyncio.ensure_future(stub.PublishSignals(_request(signal), timeout=30 if signal in patient else 0.5))
                for signal in others
            ]
            outcomes = await asyncio.gather(*waiting[::2], return_exceptions=True)
            assert {_code(outcome) for outcome in outcomes} == {grpc.StatusCode.DEADLINE_EXCEEDED}
            # When this is answered, the server knows who has given up.
            await stub.ListSignals(pb.ListSignalsRequest())
        await asyncio.gather(first, *waiting[1::2])
        # What the server still held for those who gave up would be written before this.
        last = a_signal(model_id)
        await stub.PublishSignals(_request(last), timeout=30)
    log = await the_log(database)
    check_log(log)
    assert [entry.signal_id for entry in log] == _ids([in_flight, *patient, last])
    assert not {entry.signal_id for entry in log}.intersection(_ids(hasty))


async def test_server_bounds_a_call_that_has_no_deadline(database: str, tmp_path: Path) -> None:
    async with (
        serving(database, tmp_path / "log", {**PATIENT, "AI_GRPC_CALL_TIMEOUT": "3"}) as server,
        stubs_of([server]) as (stub,),
        grpc.aio.insecure_channel(server.target) as channel,
        administrator(database) as admin,
        asyncio.timeout(60),
    ):
        model_id = await an_active_model(channel)
        in_flight, waiting, last = [a_signal(model_id) for _ in range(3)]
        async with no_appends(admin):
            first = asyncio.ensure_future(stub.PublishSignals(_request(in_flight)))
            await until_waiting(admin, "append", 1)
            second = asyncio.ensure_future(stub.PublishSignals(_request(waiting)))
            outcomes = await asyncio.gather(first, second, return_exceptions=True)
        assert [_reason(outcome) for outcome in outcomes] == ["DEADLINE_EXCEEDED"] * 2
        await stub.PublishSignals(_request(last))
    # The first was with the database already: its outcome was unknown, and it has been written.
    assert [entry.signal_id for entry in await the_log(database)] == _ids([in_flight, last])


def _request(signal: pb.Signal) -> pb.PublishSignalsRequest:
    return pb.PublishSignalsRequest(signals=[signal])


def _ids(signals: Sequence[pb.Signal]) -> list[str]:
    return [signal.signal_id for signal in signals]


def _code(outcome: object) -> grpc.StatusCode | None:
    return outcome.code() if isinstance(outcome, grpc.aio.AioRpcError) else None


def _reason(outcome: object) -> str | None:
    return reason(outcome) if isinstance(outcome, grpc.aio.AioRpcError) else None
