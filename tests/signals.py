"""Signals, models, and what a refused call says: the words that the tests of the contract share."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, cast

import asyncpg
import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status

from ai_grpc.app import running
from ai_grpc.settings import Settings
from ai_grpc.v1 import models_pb2
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.models_pb2_grpc import ModelServiceStub
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub

SIGNAL_TIME: Final = Timestamp(seconds=1_700_000_000, nanos=123_456_000)
TEST_SECONDS: Final = 60
# Of an exchange in which many writers of the same rows queue.
PATIENT: Final = {"lock_timeout": 20, "statement_timeout": 25}


class Details(NamedTuple):
    """What a refused call carries beside its status."""

    reason: str
    metadata: dict[str, str]
    fields: list[str]
    retry_delay: float | None


def a_signal(model_id: str, **changes: Any) -> pb.Signal:
    """A signal that can be published, but for the changes; None leaves a field unset."""
    fields: dict[str, Any] = {
        "signal_id": str(uuid.uuid4()),
        "model_id": model_id,
        "symbol": "AAPL",
        "signal_type": pb.SIGNAL_TYPE_BUY,
        "confidence": 0.75,
        "signal_time": SIGNAL_TIME,
    }
    return pb.Signal(**{**fields, **changes})


def a_model(**changes: Any) -> models_pb2.RegisterModelRequest:
    """A model that can be registered, but for the changes."""
    fields = {"model_name": f"model-{uuid.uuid4()}", "version": "1", "model_type": "reinforcement_learning"}
    return models_pb2.RegisterModelRequest(**{**fields, **changes})


def a_struct(**members: Any) -> Struct:
    """Free form."""
    struct = Struct()
    struct.update(members)
    return struct


def a_struct_of(size: int) -> Struct:
    """Free form that takes so many bytes as JSON."""
    return a_struct(text="x" * (size - len('{"text": ""}')))


async def an_active_model(channel: grpc.aio.Channel, **changes: Any) -> str:
    """The id of a model registered just now."""
    response = await ModelServiceStub(channel).RegisterModel(a_model(**changes), timeout=10)
    return response.model.model_id


@asynccontextmanager
async def an_exchange(database: str, **settings: Any) -> AsyncIterator[grpc.aio.Channel]:
    """The whole service in this process, on a free port of the loopback; yields a channel to it, for a bounded time."""
    async with (
        asyncio.timeout(TEST_SECONDS),
        running(chosen(**settings), database) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield channel


def chosen(**settings: Any) -> Settings:
    """Settings of a server of a test, whatever `.env` says."""
    return Settings(**{"_env_file": None, "host": "127.0.0.1", "port": 0, **settings})


def publish(channel: grpc.aio.Channel, *signals: pb.Signal) -> Awaitable[pb.PublishSignalsResponse]:
    """Publishes the signals in one request."""
    return SignalServiceStub(channel).PublishSignals(pb.PublishSignalsRequest(signals=signals))


def ending(signal: pb.Signal, **changes: Any) -> pb.UpdateSignalStateRequest:
    """What a bot sends that acted on the signal, but for the changes."""
    fields = {"signal_id": signal.signal_id, "state": pb.SIGNAL_STATE_EXECUTED}
    return pb.UpdateSignalStateRequest(**{**fields, **changes})


async def refusal(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    """The error with which the call fails."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value


def reason(error: grpc.aio.AioRpcError) -> str:
    """Why the call was refused, as its ErrorInfo says."""
    return details(error).reason


def details(error: grpc.aio.AioRpcError) -> Details:
    """All that a refused call says. It carries exactly one ErrorInfo, of this service."""
    # AioRpcError has the methods of grpc.Call that this needs.
    status = rpc_status.from_call(cast(grpc.Call, error))
    assert status is not None, error
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    assert [detail.Unpack(info) for detail in status.details].count(True) == 1
    assert info.domain == "ai_grpc"
    delays = [retry.retry_delay.ToTimedelta().total_seconds() for detail in status.details if detail.Unpack(retry)]
    fields = [each.field for detail in status.details if detail.Unpack(bad) for each in bad.field_violations]
    return Details(info.reason, dict(info.metadata), fields, *(delays or [None]))


async def sort_always(database: str) -> None:
    """Keeps PostgreSQL from reading in the order of an index, for who connects from now on: what comes in order by that
    alone does not."""
    for scan in ("indexscan", "indexonlyscan", "bitmapscan"):
        await execute(database, f"ALTER DATABASE {database.rpartition('/')[2]} SET enable_{scan} = off")


async def written(database: str) -> tuple[int, int]:
    """How many signals the database holds, and the head of its log."""
    row = await execute(database, "SELECT (SELECT count(*) FROM ai_signals), (SELECT max(sequence) FROM signal_log)")
    return row[0][0], row[0][1] or 0


async def execute(database: str, statement: str, *arguments: object) -> list[Any]:
    """The rows of one statement, run by the superuser."""
    connection = await asyncpg.connect(database, server_settings={"search_path": "ai_trading"}, timeout=10)
    try:
        return list(await connection.fetch(statement, *arguments, timeout=10))
    finally:
        await connection.close(timeout=10)
