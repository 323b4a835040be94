"""Processes are heard, their deaths are explained, and none is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from ai_grpc.demo.processes import Child, ChildDied, child, watched

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('{}', flush=True); time.sleep(60)"


@asynccontextmanager
async def program(folder: Path, text: str) -> AsyncIterator[Child]:
    (folder / "program.py").write_text(text)
    async with child("program", "program", folder=folder, place=folder) as started:
        yield started


async def test_messages_come_one_by_one_and_the_last_one_before_the_end_counts(tmp_path: Path) -> None:
    text = "from ai_grpc.demo.processes import say\nsay('one', n=1)\nsay('two')"
    async with program(tmp_path, text) as running:
        assert await running.receive(within=30) == {"say": "one", "n": 1}
        assert await running.receive(within=30) == {"say": "two"}


async def test_what_is_said_before_the_message_that_is_waited_for_is_passed_over(tmp_path: Path) -> None:
    text = "from ai_grpc.demo.processes import say\nfor n in range(3): say('event', n=n)\nsay('result', n=3)"
    async with program(tmp_path, text) as running:
        assert await running.until("result", within=30) == {"say": "result", "n": 3}
        with pytest.raises(ChildDied, match="the program ended with status 0"):
            await running.until("result", within=30)


async def test_death_is_told_with_the_last_lines_of_the_log(tmp_path: Path) -> None:
    text = "import sys\nfor n in range(100): print('line', n, file=sys.stderr)\nsys.exit(3)"
    async with program(tmp_path, text) as running:
        with pytest.raises(ChildDied, match=r"the program ended with status 3\n(.|\n)*line 99$") as died:
            await running.receive(within=30)
        assert "line 50" not in str(died.value)


async def test_watch_tells_of_a_kill(tmp_path: Path) -> None:
    async with program(tmp_path, "import time; time.sleep(60)") as running:
        running.process.send_signal(signal.SIGKILL)
        with pytest.raises(ChildDied, match="status -9"):
            await asyncio.wait_for(running.watch(), 30)


async def test_death_of_a_watched_process_is_told_in_the_place_of_what_it_leads_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ai_grpc.demo.processes.CAUSE_SECONDS", 30)
    async with program(tmp_path, "import time; print('{}', flush=True); time.sleep(60)") as running:
        await running.receive(within=30)
        with pytest.RaisesGroup(pytest.RaisesExc(ChildDied, match="status -9")):
            async with watched(running):
                running.process.send_signal(signal.SIGKILL)
                raise ConnectionError("noticed first")


async def test_failure_beside_a_watched_process_that_lives_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ai_grpc.demo.processes.CAUSE_SECONDS", 0.1)
    async with program(tmp_path, "import time; time.sleep(60)") as running:
        with pytest.RaisesGroup(ConnectionError):
            async with watched(running):
                raise ConnectionError("something else")


async def test_silence_is_bounded(tmp_path: Path) -> None:
    async with program(tmp_path, "import time; time.sleep(60)") as running:
        with pytest.raises(ChildDied, match=r"said nothing for 0\.1 s"):
            await running.receive(within=0.1)


async def test_process_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ai_grpc.demo.processes.STOP_GRACE", 0.2)
    async with program(tmp_path, DEAF) as running:
        await running.receive(within=30)
    assert running.process.returncode == -signal.SIGKILL


async def test_ctrl_c_in_the_terminal_does_not_reach_a_child(tmp_path: Path) -> None:
    async with program(tmp_path, "import time; time.sleep(60)") as running:
        assert os.getpgid(running.process.pid) != os.getpgid(0)


async def test_process_ends_when_its_block_is_cancelled(tmp_path: Path) -> None:
    started: list[Child] = []

    async def hold() -> None:
        async with program(tmp_path, "import time; print('{}', flush=True); time.sleep(60)") as running:
            await running.receive(within=30)
            started.append(running)
            ready.set()
            await asyncio.Event().wait()

    ready = asyncio.Event()
    task = asyncio.create_task(hold())
    await asyncio.wait_for(ready.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert started[0].process.returncode == -signal.SIGTERM


def test_leashed_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "leashed.py").write_text("import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    parent = (
        "import subprocess, sys, time\n"
        "leashed = (sys.executable, '-m', 'ai_grpc.demo.leash', 'leashed')\n"
        "process = subprocess.Popen(leashed, stdin=subprocess.PIPE)\n"
        "time.sleep(60)"
    )
    command = (sys.executable, "-c", parent)
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        leashed = psutil.Process(int(process.stdout.readline()))
        assert leashed.is_running()
        process.kill()
        leashed.wait(timeout=30)
