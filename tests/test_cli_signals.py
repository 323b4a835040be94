"""`ai-grpc publish` and `ai-grpc tail`, as they are run."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.json_format import MessageToJson, Parse

from ai_grpc.v1 import signals_pb2 as pb
from tests.faults.database import administrator, until
from tests.server import ServerProcess, serving
from tests.signals import a_signal, an_active_model, publish, written

COMMAND = (sys.executable, "-m", "ai_grpc")


class Service(NamedTuple):
    """A server process, a channel to it, and a model that may publish."""

    server: ServerProcess
    channel: grpc.aio.Channel
    model_id: str

    async def publish(self, count: int, **changes: Any) -> None:
        """Publishes so many signals."""
        await publish(self.channel, *(a_signal(self.model_id, **changes) for _ in range(count)))


class Ended(NamedTuple):
    """What a command left behind."""

    status: int
    out: list[Any]
    err: str


@pytest.fixture
async def service(database: str, tmp_path: Path) -> AsyncIterator[Service]:
    """The service, and a model that may publish."""
    async with (
        serving(database, tmp_path / "log") as server,
        grpc.aio.insecure_channel(server.target) as channel,
    ):
        yield Service(server, channel, await an_active_model(channel))


async def test_a_signal_is_published_and_its_place_is_printed(service: Service, database: str) -> None:
    signal_id = str(uuid.uuid4())
    options = (
        f"--model {service.model_id} --symbol EURUSD --type buy --confidence 0.8 --price-target 1.0950 --expire 2h"
    )
    ended = await _run(service, "publish", *options.split(), "--signal-id", signal_id)
    assert ended == Ended(0, [{"signal_id": signal_id, "sequence": 1, "duplicate": False}], "")
    ended = await _run(service, "tail", "--earliest", lines=1)
    signal_ = ended.out[0]["signal"]
    assert (signal_["signal_type"], signal_["confidence"], signal_["price_target"]) == ("SIGNAL_TYPE_BUY", 0.8, "1.095")
    assert signal_["expire_time"] > signal_["signal_time"]


async def test_a_refusal_is_one_line(service: Service) -> None:
    model_id = str(uuid.uuid4())
    ended = await _run(service, "publish", *f"--model {model_id} --symbol A --type HOLD --confidence 0.5".split())
    assert ended == Ended(1, [], f"ai-grpc: model {model_id} does not exist\n")
    ended = await _run(service, "publish", *f"--model {model_id} --symbol A --type HOLD --confidence 1.5".split())
    assert ended == Ended(1, [], "ai-grpc: confidence must be between 0 and 1, not 1.5\n")


async def test_lines_are_published_in_order_and_bad_ones_are_named(service: Service, database: str) -> None:
    lines = [MessageToJson(a_signal(service.model_id), indent=None) for _ in range(3000)]
    lines[9], lines[1999], lines[2000] = "{", MessageToJson(a_signal(service.model_id, symbol=""), indent=None), ""
    lines[2001] = "[" * 100_000
    ended = await _run(service, "publish", text="\n".join(lines))
    assert ended.status == 1
    assert [line.partition(":")[2].split(":")[0] for line in ended.err.splitlines()] == [
        " line 10",
        " line 2000",
        " line 2002",
    ]
    assert [each["line"] for each in ended.out] == [n for n in range(1, 3001) if n not in (10, 2000, 2001, 2002)]
    assert [each["sequence"] for each in ended.out] == list(range(1, 2997))
    assert await written(database) == (2996, 2996)


async def test_lines_are_published_as_they_come(service: Service) -> None:
    program = await _start(service, "publish")
    assert program.stdin is not None
    assert program.stdout is not None
    for number in (1, 2):
        program.stdin.write(MessageToJson(a_signal(service.model_id), indent=None).encode() + b"\n")
        assert json.loads(await asyncio.wait_for(program.stdout.readline(), 20))["sequence"] == number
    program.stdin.close()
    assert await asyncio.wait_for(program.wait(), 10) == 0


async def test_publishing_goes_on_when_the_server_comes_back(service: Service, database: str) -> None:
    lines = [MessageToJson(a_signal(service.model_id), indent=None) for _ in range(20_000)]
    program = await _start(service, "publish")
    assert program.stdout is not None
    feeding = asyncio.create_task(program.communicate("\n".join(lines).encode()))
    async with administrator(database) as admin:
        await until(admin, "SELECT count(*) >= 1000 FROM ai_trading.ai_signals", True)
    await service.server.kill()
    await service.server.start()
    out, err = await asyncio.wait_for(feeding, 60)
    assert program.returncode == 0, err
    assert [json.loads(line)["sequence"] for line in out.splitlines()] == list(range(1, 20_001))
    assert await written(database) == (20_000, 20_000)


async def test_what_is_missing_is_said(service: Service) -> None:
    ended = await _run(service, "publish", "--symbol", "EURUSD")
    assert ended.status == 2
    assert "--model, --type, --confidence" in ended.err
    ended = await _run(service, "tail", "--earliest", "--current")
    assert ended.status == 2
    ended = await _run(service, "tail", "--since", "yesterday")
    assert ended.status == 2


async def test_nobody_at_the_target_is_said_at_once(service: Service) -> None:
    program = await _start(service, "tail", "--target", "127.0.0.1:1")
    assert program.stderr is not None
    line = await asyncio.wait_for(program.stderr.readline(), 30)
    assert line.startswith(b"ai-grpc: 127.0.0.1:1: ")
    assert b"Connection refused" in line
    program.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(program.wait(), 10) == 0


async def test_tail_survives_a_restart_and_says_where_it_stopped(service: Service) -> None:
    program = await _start(service, "tail", "--earliest")
    await service.publish(3)
    assert [event.sequence for event in await _events(program, 3)] == [1, 2, 3]
    await service.server.kill()
    await service.server.start()
    await service.publish(3)
    assert [event.sequence for event in await _events(program, 3)] == [4, 5, 6]
    program.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(program.communicate(), 10)
    assert program.returncode == 0
    resume = err.decode().splitlines()[-1].partition("resume with ")[2].split()
    await service.publish(2)
    ended = await _run(service, "tail", *resume, lines=2)
    assert [each["sequence"] for each in ended.out] == [7, 8]
    ended = await _run(service, "tail", "--after", "6", lines=2)
    assert [each["sequence"] for each in ended.out] == [7, 8]


async def test_tail_shows_what_is_asked_for(service: Service) -> None:
    await service.publish(2, symbol="EURUSD", confidence=0.5)
    await service.publish(2, symbol="MSFT", confidence=0.9, signal_type=pb.SIGNAL_TYPE_SELL)
    await service.publish(2, symbol="AAPL", confidence=0.9)
    choices = {
        "--symbol EURUSD --symbol AAPL": [1, 2, 5, 6],
        "--min-confidence 0.9": [3, 4, 5, 6],
        "--type sell": [3, 4],
        f"--model {service.model_id} --kind published": [1, 2, 3, 4, 5, 6],
    }
    for begin in ("--earliest", "--current", "--since 10m"):
        for choice, expected in choices.items():
            ended = await _run(service, "tail", *begin.split(), *choice.split(), lines=len(expected))
            assert [each["sequence"] for each in ended.out] == expected


async def test_nobody_who_reads_is_no_error(service: Service) -> None:
    await service.publish(1)
    tail = " ".join((*COMMAND, "tail", "--target", service.server.target, "--earliest"))
    program = await asyncio.create_subprocess_shell(f"{tail} | head -1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = await asyncio.wait_for(program.communicate(), 20)
    assert json.loads(out)["sequence"] == 1
    assert err == b""


async def test_tail_is_a_table_on_a_terminal(service: Service) -> None:
    await service.publish(1, symbol="EURUSD")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    arguments = ("tail", "--target", service.server.target, "--current")
    program = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=environment
    )
    os.close(theirs)
    shown = await asyncio.to_thread(_read_until, ours, b"live", 20)
    assert b"EURUSD" in shown
    assert b"PUBLISHED" in shown
    program.send_signal(signal.SIGINT)
    assert program.stderr is not None
    assert b"resume with --after 1 " in await asyncio.wait_for(program.stderr.read(), 10)
    assert await asyncio.wait_for(program.wait(), 10) == 0
    os.close(ours)


async def test_help_has_examples() -> None:
    for command in ("publish", "tail"):
        program = await asyncio.create_subprocess_exec(*COMMAND, command, "--help", stdout=subprocess.PIPE)
        out, _ = await asyncio.wait_for(program.communicate(), 20)
        assert f"ai-grpc {command} --".encode() in out


async def _start(service: Service, *arguments: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, "AI_GRPC_TARGET": service.server.target}
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )


async def _run(service: Service, *arguments: str, text: str = "", lines: int | None = None) -> Ended:
    """Runs a command to its end, or until it has printed so many lines and Ctrl-C ends it."""
    program = await _start(service, *arguments)
    printed = b""
    if lines is not None:
        assert program.stdout is not None
        for _ in range(lines):
            printed += await asyncio.wait_for(program.stdout.readline(), 20)
        program.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(program.communicate(text.encode()), 25)
    assert program.returncode is not None
    return Ended(program.returncode, [json.loads(line) for line in (printed + out).splitlines()], err.decode())


async def _events(program: asyncio.subprocess.Process, count: int) -> list[pb.SignalEvent]:
    assert program.stdout is not None
    return [Parse(await asyncio.wait_for(program.stdout.readline(), 20), pb.SignalEvent()) for _ in range(count)]


def _read_until(descriptor: int, text: bytes, seconds: float) -> bytes:
    end = time.monotonic() + seconds
    shown = b""
    while text not in shown and select.select([descriptor], [], [], max(0, end - time.monotonic()))[0]:
        shown += os.read(descriptor, 65536)
    return shown
