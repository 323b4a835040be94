"""Upkeep: what fell silent does not run for ever, whatever the database does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple

import asyncpg
import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from ai_grpc.v1 import optimization_pb2
from ai_grpc.v1 import training_pb2 as pb
from ai_grpc.v1.optimization_pb2_grpc import OptimizationServiceStub
from ai_grpc.v1.training_pb2_grpc import TrainingServiceStub
from tests.cluster import Cluster
from tests.faults.database import until, until_waiting
from tests.optimization import a_running_run, the_run
from tests.signals import a_struct, an_active_model, an_exchange, execute
from tests.training import a_running_session, the_session

SOON: Final = Duration(seconds=1)
FAILED: Final = "SELECT count(*) FROM ai_trading.training_sessions WHERE session_id = '{}' AND status = 'failed'"
LOST: Final = "heartbeat lost: none for 1 s"


class Work(NamedTuple):
    """What is heard of until it ends, and the words for it."""

    table: str
    key: str
    start: Callable[..., Awaitable[str]]
    get: Callable[[grpc.aio.Channel, str], Awaitable[Any]]
    complete: Callable[[grpc.aio.Channel, str], Awaitable[Any]]

    async def ended(self, channel: grpc.aio.Channel, work_id: str) -> Any:
        """The work when it has ended; the exchange bounds the wait."""
        while True:
            with suppress(grpc.aio.AioRpcError):
                if (found := await self.get(channel, work_id)).HasField("end_time"):
                    return found
            await asyncio.sleep(0.02)

    @property
    def silence(self) -> str:
        """A statement that makes an hour pass without a heartbeat."""
        return f"UPDATE {self.table} SET heartbeat_at = heartbeat_at - INTERVAL '1 hour'"


def complete_session(channel: grpc.aio.Channel, session_id: str) -> Awaitable[Any]:
    """Ends a session well."""
    return TrainingServiceStub(channel).CompleteTrainingSession(
        pb.CompleteTrainingSessionRequest(session_id=session_id)
    )


def complete_run(channel: grpc.aio.Channel, run_id: str) -> Awaitable[Any]:
    """Ends a run well."""
    return OptimizationServiceStub(channel).CompleteOptimizationRun(
        optimization_pb2.CompleteOptimizationRunRequest(run_id=run_id)
    )


SESSION: Final = Work("training_sessions", "session_id", a_running_session, the_session, complete_session)
RUN: Final = Work("optimization_runs", "run_id", a_running_run, the_run, complete_run)
EACH: Final = pytest.mark.parametrize("work", [SESSION, RUN], ids=["session", "run"])


async def test_a_session_whose_heartbeat_stops_is_failed_with_the_reason(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ai_grpc.upkeep")
    async with an_exchange(database, upkeep_interval=0.05) as channel:
        session_id = await a_running_session(channel, heartbeat_timeout=SOON)
        session = await SESSION.ended(channel, session_id)
        assert (session.state, session.error_message) == (pb.TRAINING_STATE_FAILED, LOST)
        silence = session.end_time.ToMicroseconds() - session.heartbeat_time.ToMicroseconds()
        assert silence >= 1_000_000
        await said(caplog, "sessions without heartbeat failed: 1")


async def test_a_session_that_is_heard_of_goes_on(database: str) -> None:
    async with an_exchange(database, upkeep_interval=0.05) as channel:
        model, stub = await an_active_model(channel), TrainingServiceStub(channel)
        silent, beating, appending, patient = [
            await a_running_session(channel, model_id=model, heartbeat_timeout=timeout)
            for timeout in (*[Duration(seconds=3)] * 3, None)
        ]
        beat = pb.HeartbeatTrainingSessionRequest(session_id=beating)
        append = pb.AppendTrainingMetricsRequest(session_id=appending, facts=a_struct(epoch=1))
        waiting = asyncio.ensure_future(SESSION.ended(channel, silent))
        while not waiting.done():
            await asyncio.gather(stub.HeartbeatTrainingSession(beat), stub.AppendTrainingMetrics(append))
            await asyncio.wait([waiting], timeout=0.1)
        for session_id in (beating, appending, patient):
            assert (await the_session(channel, session_id)).state == pb.TRAINING_STATE_RUNNING


@EACH
async def test_what_has_ended_is_left_alone(database: str, work: Work) -> None:
    async with an_exchange(database, upkeep_interval=0.05) as channel:
        completed, silent = [await work.start(channel, heartbeat_timeout=timeout) for timeout in (None, SOON)]
        await work.complete(channel, completed)
        await execute(database, work.silence)
        before = await work.get(channel, completed)
        assert (await work.ended(channel, silent)).error_message == LOST
        assert await work.get(channel, completed) == before


@EACH
async def test_it_does_not_wait_for_what_is_being_written(database: str, work: Work) -> None:
    holder = await asyncpg.connect(database, timeout=10)
    async with an_exchange(database, upkeep_interval=0.05) as channel:
        held, silent = [await work.start(channel, heartbeat_timeout=SOON) for _ in range(2)]
        async with holder.transaction():
            await holder.execute(f"SELECT FROM ai_trading.{work.table} WHERE {work.key} = $1 FOR UPDATE", held)
            await work.ended(channel, silent)
        await work.ended(channel, held)
    await holder.close(timeout=10)


async def test_it_does_not_wait_behind_callers(database: str) -> None:
    holder = await asyncpg.connect(database, timeout=10)
    async with an_exchange(database, upkeep_interval=0.05, calls_pool_size=1) as channel:
        held, silent = [await a_running_session(channel, heartbeat_timeout=timeout) for timeout in (None, SOON)]
        async with holder.transaction():
            await holder.execute("SELECT FROM ai_trading.training_sessions WHERE session_id = $1 FOR UPDATE", held)
            beat = pb.HeartbeatTrainingSessionRequest(session_id=held)
            waiting = asyncio.ensure_future(TrainingServiceStub(channel).HeartbeatTrainingSession(beat))
            await until_waiting(holder, "calls", 1)
            await until(holder, FAILED.format(silent), 1)
            assert not waiting.done()
        await waiting
    await holder.close(timeout=10)


@EACH
async def test_what_has_an_end_does_not_run_whoever_writes(database: str, work: Work) -> None:
    async with an_exchange(database) as channel:
        await work.start(channel)
        for change in ("status = 'failed'", "end_time = now()"):
            with pytest.raises(asyncpg.CheckViolationError):
                await execute(database, f"UPDATE {work.table} SET {change}")


async def test_a_chore_that_fails_is_told_and_the_others_go_on(database: str, caplog: pytest.LogCaptureFixture) -> None:
    await execute(database, "ALTER FUNCTION fail_silent_sessions RENAME TO fail_nothing")
    async with an_exchange(database, upkeep_interval=0.05) as channel:
        run_id = await a_running_run(channel, heartbeat_timeout=SOON)
        assert (await RUN.ended(channel, run_id)).error_message == LOST
    [told, *_] = [record.getMessage() for record in caplog.records if record.name == "ai_grpc.upkeep"]
    assert told.startswith("sessions without heartbeat failed: function fail_silent_sessions() does not exist")


async def test_a_database_that_was_away_is_no_silence_of_trainers_and_does_not_end_it(cluster: Cluster) -> None:
    async with an_exchange(cluster.url(), upkeep_interval=0.05) as channel:
        patient, hasty = [
            [await work.start(channel, heartbeat_timeout=timeout) for work in (SESSION, RUN)]
            for timeout in (None, SOON)
        ]
        await execute(cluster.url(), SESSION.silence)
        await execute(cluster.url(), RUN.silence)
        await asyncio.to_thread(cluster.stop)
        # Some rounds in which nobody answers.
        await asyncio.sleep(0.3)
        await asyncio.to_thread(cluster.start)
        for work, silent, heard_of in zip((SESSION, RUN), hasty, patient, strict=True):
            assert (await work.ended(channel, silent)).error_message == LOST
            assert not (await work.get(channel, heard_of)).HasField("end_time")


async def said(caplog: pytest.LogCaptureFixture, message: str) -> None:
    """Returns when the log says so; the exchange bounds the wait."""
    while True:
        if message in caplog.messages:
            return
        await asyncio.sleep(0.01)
