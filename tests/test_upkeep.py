"""Upkeep: a session whose trainer fell silent does not run for ever, whatever the database does meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import asyncpg
import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from ai_grpc.v1 import training_pb2 as pb
from ai_grpc.v1.training_pb2_grpc import TrainingServiceStub
from tests.cluster import Cluster
from tests.faults.database import until
from tests.signals import a_struct, an_active_model, an_exchange, execute
from tests.training import a_running_session, the_session

SOON: Final = Duration(seconds=1)
WRITERS_WAITING: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'ai_grpc calls' AND wait_event_type = 'Lock'
"""
FAILED: Final = "SELECT count(*) FROM ai_trading.training_sessions WHERE session_id = '{}' AND status = 'failed'"
SILENCE: Final = "UPDATE training_sessions SET heartbeat_at = heartbeat_at - INTERVAL '1 hour'"


async def test_a_session_whose_heartbeat_stops_is_failed_with_the_reason(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ai_grpc.upkeep")
    async with an_exchange(database, upkeep_interval=0.05) as channel:
        session_id = await a_running_session(channel, heartbeat_timeout=SOON)
        session = await ended(channel, session_id)
        assert (session.state, session.error_message) == (pb.TRAINING_STATE_FAILED, "heartbeat lost: none for 1 s")
        silence = session.end_time.ToMicroseconds() - session.heartbeat_time.ToMicroseconds()
        assert silence >= 1_000_000
        await said(caplog, "sessions without heartbeat failed: 1")


async def test_a_session_that_is_heard_of_goes_on(database: str) -> None:
    async with an_exchange(database, upkeep_interval=0.05) as channel:
        model, stub = await an_active_model(channel), TrainingServiceStub(channel)
        silent, beating, appending, patient = [
            await a_running_session(channel, model_id=model, heartbeat_timeout=timeout)
            for timeout in (SOON, SOON, SOON, None)
        ]
        beat = pb.HeartbeatTrainingSessionRequest(session_id=beating)
        append = pb.AppendTrainingMetricsRequest(session_id=appending, facts=a_struct(epoch=1))
        waiting = asyncio.ensure_future(ended(channel, silent))
        while not waiting.done():
            await asyncio.gather(stub.HeartbeatTrainingSession(beat), stub.AppendTrainingMetrics(append))
            await asyncio.wait([waiting], timeout=0.1)
        for session_id in (beating, appending, patient):
            assert (await the_session(channel, session_id)).state == pb.TRAINING_STATE_RUNNING


async def test_a_session_that_has_ended_is_left_alone(database: str) -> None:
    async with an_exchange(database, upkeep_interval=0.05) as channel:
        completed, silent = [await a_running_session(channel, heartbeat_timeout=SOON) for _ in range(2)]
        end = pb.CompleteTrainingSessionRequest(session_id=completed)
        await TrainingServiceStub(channel).CompleteTrainingSession(end)
        await execute(database, SILENCE)
        await ended(channel, silent)
        assert (await the_session(channel, completed)).state == pb.TRAINING_STATE_COMPLETED


async def test_it_does_not_wait_for_a_session_that_is_being_written(database: str) -> None:
    holder = await asyncpg.connect(database, timeout=10)
    async with an_exchange(database, upkeep_interval=0.05) as channel:
        held, silent = [await a_running_session(channel, heartbeat_timeout=SOON) for _ in range(2)]
        async with holder.transaction():
            await holder.execute("SELECT FROM ai_trading.training_sessions WHERE session_id = $1 FOR UPDATE", held)
            await ended(channel, silent)
        await ended(channel, held)
    await holder.close(timeout=10)


async def test_it_does_not_wait_behind_callers(database: str) -> None:
    holder = await asyncpg.connect(database, timeout=10)
    async with an_exchange(database, upkeep_interval=0.05, calls_pool_size=1) as channel:
        held, silent = [await a_running_session(channel, heartbeat_timeout=SOON) for _ in range(2)]
        async with holder.transaction():
            await holder.execute("SELECT FROM ai_trading.training_sessions WHERE session_id = $1 FOR UPDATE", held)
            beat = pb.HeartbeatTrainingSessionRequest(session_id=held)
            waiting = asyncio.ensure_future(TrainingServiceStub(channel).HeartbeatTrainingSession(beat))
            await until(holder, WRITERS_WAITING, 1)
            await until(holder, FAILED.format(silent), 1)
            assert not waiting.done()
        await waiting
    await holder.close(timeout=10)


async def test_a_database_that_was_away_is_no_silence_of_trainers_and_does_not_end_it(cluster: Cluster) -> None:
    async with an_exchange(cluster.url(), upkeep_interval=0.05) as channel:
        patient, hasty = [await a_running_session(channel, heartbeat_timeout=timeout) for timeout in (None, SOON)]
        await execute(cluster.url(), SILENCE)
        await asyncio.to_thread(cluster.stop)
        # Some rounds in which nobody answers.
        await asyncio.sleep(0.3)
        await asyncio.to_thread(cluster.start)
        assert (await ended(channel, hasty)).state == pb.TRAINING_STATE_FAILED
        assert (await the_session(channel, patient)).state == pb.TRAINING_STATE_RUNNING


async def said(caplog: pytest.LogCaptureFixture, message: str) -> None:
    """Returns when the log says so; the exchange bounds the wait."""
    while True:
        if message in caplog.messages:
            return
        await asyncio.sleep(0.01)


async def ended(channel: grpc.aio.Channel, session_id: str) -> pb.TrainingSession:
    """The session when it has ended; the exchange bounds the wait."""
    while True:
        with suppress(grpc.aio.AioRpcError):
            if (session := await the_session(channel, session_id)).HasField("end_time"):
                return session
        await asyncio.sleep(0.02)
