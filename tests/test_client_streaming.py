"""Calls with many requests and one answer: bounded, logged and refused as all others are."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from ai_grpc.v1 import models_pb2
from ai_grpc.v1 import training_pb2 as pb
from ai_grpc.v1.models_pb2_grpc import ModelServiceStub
from ai_grpc.v1.training_pb2_grpc import TrainingServiceStub
from tests.faults.database import administrator, until, until_waiting
from tests.server import serving
from tests.signals import an_exchange, details, execute, refusal
from tests.training import a_running_session, add, an_episode, the_episodes

METHOD: Final = "/ai_grpc.v1.TrainingService/AddEpisodes"
LINE: Final = re.escape(METHOD) + r" {} \d+\.\dms \S+ mine$"
MINE: Final = (("x-request-id", "mine"),)


async def send(channel: Any, *messages: bytes) -> pb.AddEpisodesResponse:
    """Sends bytes instead of messages."""
    response = await channel.stream_unary(METHOD)(iter(messages), metadata=MINE, timeout=10)
    return pb.AddEpisodesResponse.FromString(response)


def encoded(*episodes: pb.Episode) -> bytes:
    """A request."""
    return pb.AddEpisodesRequest(episodes=episodes).SerializeToString()


async def logged(caplog: pytest.LogCaptureFixture, status: str) -> bool:
    """Whether the call has one line, which says so. It comes a moment later; the exchange bounds the wait."""
    while True:
        if METHOD in caplog.text:
            break
        await asyncio.sleep(0.01)
    lines = [line for message in caplog.messages for line in message.splitlines() if METHOD in line]
    return len(lines) == 1 and re.search(LINE.format(status), lines[0]) is not None


async def test_a_stream_has_one_line_in_the_log(database: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ai_grpc.access")
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        response = await send(channel, *(encoded(an_episode(session_id, number)) for number in (1, 2, 3)))
        assert response == pb.AddEpisodesResponse(episodes=3)
        assert await logged(caplog, "OK")


async def test_a_refused_stream_says_why_to_the_client_and_in_the_log(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ai_grpc.access")
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        error = await refusal(send(channel, encoded(an_episode(session_id, 0))))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert details(error)[:3] == ("INVALID_FIELD", {}, ["requests[0].episodes[0].episode_number"])
        assert dict(error.trailing_metadata())["x-request-id"] == "mine"
        assert await logged(caplog, "INVALID_ARGUMENT INVALID_FIELD")


async def test_bytes_that_are_no_message_end_a_stream_after_what_came_before(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        one, two = (encoded(an_episode(session_id, number)) for number in (1, 2))
        error = await refusal(send(channel, one, b"\xff", two))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert details(error)[:3] == ("INVALID_FIELD", {}, ["request"])
        assert [episode.episode_number for episode in await the_episodes(channel, session_id)] == [1]


async def test_a_refusal_reaches_a_client_that_is_still_sending(database: str, tmp_path: Path) -> None:
    async with serving(database, tmp_path / "log") as server, grpc.aio.insecure_channel(server.target) as channel:
        session_id = await a_running_session(channel)
        large = encoded(an_episode(session_id, episode_end_reason="x" * 3 * 1024 * 1024))
        # If the call ended in the midst of a write, one client of five would be told INTERNAL.
        for _ in range(30):
            error = await refusal(send(channel, b"", large, large))
            assert details(error)[:3] == ("INVALID_FIELD", {}, ["requests[0].episodes"])


async def test_a_client_that_goes_on_for_ever_is_refused_all_the_same(
    database: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "ai_grpc.access")
    monkeypatch.setattr("ai_grpc.uploads.LINGER", 1)
    async with an_exchange(database) as channel:
        request = pb.AddEpisodesRequest(episodes=[an_episode(await a_running_session(channel), 0)])
        stream = TrainingServiceStub(channel).AddEpisodes(metadata=MINE)
        # The client may learn of the end in a write, and then not why.
        with suppress(grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError):
            while True:
                await stream.write(request)
                await asyncio.sleep(0.01)
        assert await logged(caplog, "INVALID_ARGUMENT INVALID_FIELD")


async def test_a_fault_of_the_server_stays_in_its_log(database: str, caplog: pytest.LogCaptureFixture) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        await execute(database, "ALTER TABLE rl_episodes RENAME TO gone")
        error = await refusal(send(channel, encoded(an_episode(session_id))))
        assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "the server has a fault")
        assert details(error)[:2] == ("INTERNAL", {"request_id": "mine"})
        [record] = [each for each in caplog.records if "mine" in each.getMessage()]
        assert (record.levelname, bool(record.exc_info)) == ("ERROR", True)


async def test_an_open_stream_is_one_of_the_calls_that_are_bounded(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
    async with an_exchange(database, max_concurrent_calls=1) as channel:
        stream = TrainingServiceStub(channel).AddEpisodes()
        await stream.write(pb.AddEpisodesRequest(episodes=[an_episode(session_id)]))
        async with administrator(database) as admin:
            await until(admin, "SELECT count(*) FROM ai_trading.rl_episodes", 1)
        models = models_pb2.ListModelsRequest()
        error = await refusal(ModelServiceStub(channel).ListModels(models))
        assert details(error) == ("OVERLOADED", {"limit": "1"}, [], 0.1)
        await stream.done_writing()
        assert await stream == pb.AddEpisodesResponse(episodes=1)
        await ModelServiceStub(channel).ListModels(models)


async def test_a_stream_is_given_up_at_the_end_of_its_lifetime(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
    async with an_exchange(database, stream_lifetime=3, call_timeout=0.1) as channel:
        started = time.monotonic()
        stream = TrainingServiceStub(channel).AddEpisodes()
        await stream.write(pb.AddEpisodesRequest(episodes=[an_episode(session_id)]))
        error = await refusal(stream)
        # Not the bound of other calls.
        assert time.monotonic() - started > 2.9
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert details(error).reason == "DEADLINE_EXCEEDED"
    async with an_exchange(database) as channel:
        assert await add(channel, [an_episode(session_id)]) == (1, 1)


async def test_a_stream_does_not_hold_up_a_server_that_stops(database: str, tmp_path: Path) -> None:
    async with (
        serving(database, tmp_path / "log") as server,
        grpc.aio.insecure_channel(server.target) as channel,
        administrator(database) as admin,
        asyncio.timeout(30),
    ):
        session_id = await a_running_session(channel)
        idle, busy = [TrainingServiceStub(channel).AddEpisodes() for _ in range(2)]
        await idle.write(pb.AddEpisodesRequest(episodes=[an_episode(session_id, 1)]))
        await until(admin, "SELECT count(*) FROM ai_trading.rl_episodes", 1)
        async with admin.transaction():
            await admin.execute("SELECT FROM ai_trading.training_sessions FOR UPDATE")
            await busy.write(pb.AddEpisodesRequest(episodes=[an_episode(session_id, 2)]))
            await until_waiting(admin, "calls", 1)
            started = time.monotonic()
            ending = asyncio.create_task(server.terminate())
            first = await refusal(idle)
        for error in (first, await refusal(busy)):
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            assert (details(error).reason, details(error).retry_delay) == ("DRAINING", 0.2)
        assert await ending == 0
        assert time.monotonic() - started < 5
        # What was taken has been written.
        await until(admin, "SELECT count(*) FROM ai_trading.rl_episodes", 2)
