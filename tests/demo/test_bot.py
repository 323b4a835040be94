"""The bot process against a server: what it trades, whatever happened before it started."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ai_grpc.client import SignalPublisher, connect
from ai_grpc.demo.journal import read
from ai_grpc.demo.prices import load
from ai_grpc.demo.processes import Child, child
from ai_grpc.demo.rules import Genes, entries
from ai_grpc.demo.signals import to_signal
from ai_grpc.v1 import models_pb2, models_pb2_grpc, signals_pb2_grpc
from ai_grpc.v1 import signals_pb2 as pb
from tests.faults.database import administrator, no_appends


@pytest.fixture
async def model_id(target: str) -> str:
    async with connect(target) as channel:
        stub: models_pb2_grpc.ModelServiceAsyncStub = models_pb2_grpc.ModelServiceStub(channel)
        request = models_pb2.RegisterModelRequest(model_name="m", version="1", model_type="genetic_optimization")
        return (await stub.RegisterModel(request, timeout=10)).model.model_id


@asynccontextmanager
async def bot(target: str, folder: Path, model_id: str) -> AsyncIterator[Child]:
    journal = str(folder / "journal")
    async with child("bot", "ai_grpc.demo.leash", "ai_grpc.demo.bot", target, journal, model_id, folder=folder) as each:
        yield each


async def publish(target: str, model_id: str, count: int = 1) -> list[str]:
    """Publishes the first signals of GOOG's trading part and returns their ids."""
    series = load("GOOG")
    fired = [entry for entry in entries(series, Genes(9, 35, 14, 40, 65)) if entry.bar >= series.split]
    async with SignalPublisher(target) as publisher:
        signals = [to_signal(entry, series, model_id=model_id, confidence=0.5) for entry in fired[:count]]
        return [(await publisher.publish(one)).signal_id for one in signals]


async def until_executed(bot: Child, count: int = 1) -> None:
    while count:
        count -= (await bot.receive(within=30)).get("kind") == "EXECUTED"


async def ends(bot: Child) -> dict[str, Any]:
    """The account in GOOG of a bot that is told to stop."""
    bot.process.send_signal(signal.SIGTERM)
    while (message := await bot.receive(within=30))["say"] != "result":
        pass
    account: dict[str, Any] = message["accounts"]["GOOG"]
    return account


async def test_bot_trades_what_it_ends_as_executed(target: str, model_id: str, tmp_path: Path) -> None:
    signal_ids = await publish(target, model_id, 3)
    async with bot(target, tmp_path, model_id) as running:
        await until_executed(running, 3)
        assert (await ends(running))["trades"] > 0
    assert [one.signal_id for one in read(tmp_path / "journal") if one.kind == "PUBLISHED"] == signal_ids


async def test_bot_that_was_killed_before_it_heard_of_its_success_still_trades(
    target: str, model_id: str, tmp_path: Path
) -> None:
    await publish(target, model_id)
    async with bot(target, tmp_path, model_id) as running:
        await until_executed(running)
        await running.kill()
    lines = (tmp_path / "journal").read_text().splitlines(keepends=True)
    assert "EXECUTED" in lines[1]
    (tmp_path / "journal").write_text(lines[0])
    async with bot(target, tmp_path, model_id) as running:
        await until_executed(running)
        assert (await ends(running))["trades"] == 1


async def test_bot_that_was_killed_before_it_acted_acts_when_it_is_back(
    target: str, model_id: str, tmp_path: Path
) -> None:
    await publish(target, model_id)
    async with bot(target, tmp_path, model_id) as running:
        while (await running.receive(within=30))["say"] != "event":
            pass
        await running.kill()
    async with bot(target, tmp_path, model_id) as running:
        # The first one may have acted after all, and then there is nothing new to hear.
        await running.until("live", within=30)
        while [one.sequence for one in read(tmp_path / "journal")] != [1, 2]:
            await running.receive(within=30)
        assert (await ends(running))["trades"] == 1
    assert [one.sequence for one in read(tmp_path / "journal")] == [1, 2]


async def test_bot_that_is_told_to_stop_while_it_remembers_ends_with_all_it_remembers(
    database: str, target: str, model_id: str, tmp_path: Path
) -> None:
    await publish(target, model_id)
    async with AsyncExitStack() as stack:
        async with administrator(database) as admin, no_appends(admin):
            async with bot(target, tmp_path, model_id) as killed:
                await killed.until("event", within=30)
                await killed.kill()
            running = await stack.enter_async_context(bot(target, tmp_path, model_id))
            await running.until("resumes", within=30)
            running.process.send_signal(signal.SIGTERM)
        assert (await running.until("result", within=30))["accounts"]["GOOG"]["trades"] == 1


@pytest.mark.parametrize("starts", [1, 2])
async def test_bot_does_not_trade_what_another_one_executed(
    target: str, model_id: str, tmp_path: Path, starts: int
) -> None:
    (signal_id,) = await publish(target, model_id)
    async with connect(target) as channel:
        stub: signals_pb2_grpc.SignalServiceAsyncStub = signals_pb2_grpc.SignalServiceStub(channel)
        request = pb.UpdateSignalStateRequest(signal_id=signal_id, state=pb.SIGNAL_STATE_EXECUTED)
        await stub.UpdateSignalState(request, timeout=10)
    for _ in range(starts):
        async with bot(target, tmp_path, model_id) as running:
            while (await running.receive(within=30))["say"] != "live":
                pass
            assert (await ends(running))["trades"] == 0
