"""The demonstration from outside: real processes, one kill planned and others not."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import asyncpg
import psutil
import pytest

from ai_grpc.demo.journal import read

SMALL = ("--population", "10", "--generations", "2", "--pace", "0.03")
PROCESS = re.compile(r"(server|model|bot): process (\d+)")
SECONDS = 240


class Demo:
    """A running demonstration, whose temporary files all are in a folder of its own."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *options: str) -> None:
        self.folder = folder
        self.text = ""
        self.pids: dict[str, list[int]] = {"server": [], "model": [], "bot": []}
        self.process = subprocess.Popen(
            (sys.executable, "-m", "ai_grpc", "demo", *SMALL, *options),
            env={**os.environ, **environment, "TMPDIR": str(folder), "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until(self, text: str) -> None:
        """Reads on until it says so; an empty text never comes, so that is to the end."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.text += line
            if found := PROCESS.search(line):
                self.pids[found[1]].append(int(found[2]))
            if text and text in line:
                return
        assert not text, self.text

    def ends(self) -> int:
        """Its exit status."""
        self.until("")
        return self.process.wait(timeout=SECONDS)

    def left_behind(self) -> list[str]:
        """The command lines of what it started, and what uses its folder, PostgreSQL among them."""
        mine = {pid for pids in self.pids.values() for pid in pids}
        running = [
            each for each in psutil.process_iter(["pid", "cmdline", "status"]) if each.info["status"] != "zombie"
        ]
        lines = [(each.info["pid"], " ".join(each.info["cmdline"] or [])) for each in running]
        return [line for pid, line in lines if pid in mine or str(self.folder) in line]


@contextmanager
def demonstration(environment: Mapping[str, str], *options: str) -> Iterator[Demo]:
    # Not in tmp_path: the sockets of PostgreSQL need a short path, and its user a way through.
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        Path(name).chmod(0o711)
        demo = Demo(Path(name), environment, *options)
        guard = Timer(SECONDS, demo.process.kill)
        guard.start()
        try:
            yield demo
        finally:
            guard.cancel()
            demo.process.kill()
            demo.process.communicate(timeout=30)


def journal(demo: Demo) -> Path:
    (folder,) = demo.folder.iterdir()
    return folder / "bot.jsonl"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        # Other processes do what is waited for, and nothing tells of it.
        time.sleep(0.02)


def test_bot_is_killed_resumes_and_its_log_equals_the_signal_log() -> None:
    # Slow enough that the kill comes before the last signal.
    with demonstration({}, "--pace", "0.1") as demo:
        assert demo.ends() == 0, demo.text
        assert len({pid for pids in demo.pids.values() for pid in pids}) == 4
        assert len(demo.pids["bot"]) == 2
        killed = re.search(r"killed \(SIGKILL\) after sequence (\d+)", demo.text)
        resumed = re.search(r"resumes after sequence (\d+)", demo.text)
        assert killed
        assert resumed
        assert killed[1] == resumed[1] != "0"
        assert re.search(r"caught up [1-9]\d* events", demo.text)
        assert "The bot's log is equal to the signal log" in demo.text
        assert re.search(r"model: recorded 2860 feature vectors, 2 spectra and [1-9]\d* anomalies", demo.text)
        assert len(re.findall(r"^  (?:GOOG|EURUSD) +(?:cross|turn) +[1-9]\d* +-?\d+\.\d{3}$", demo.text, re.M)) >= 2
        assert "The bot's accounts are those of a bot that follows the whole log in one go" in demo.text
        assert demo.left_behind() == []
        assert list(demo.folder.iterdir()) == []


def test_events_twice_in_the_bots_log_are_told_and_fail() -> None:
    with demonstration({}) as demo:
        demo.until("killed (SIGKILL)")
        events = journal(demo).read_text()
        # So many that the bot is still busy when it seems to have had all.
        with journal(demo).open("a") as file:
            file.write(events)
        assert demo.ends() == 1, demo.text
        assert "NOT equal" in demo.text
        assert "is equal to" not in demo.text
        assert demo.left_behind() == []


@pytest.mark.parametrize("victim", ["server", "bot"])
def test_death_of_a_process_ends_everything_and_is_explained(victim: str) -> None:
    with demonstration({}) as demo:
        demo.until("bot: process")
        os.kill(demo.pids[victim][-1], signal.SIGKILL)
        assert demo.ends() == 1, demo.text
        assert f"the {victim} ended with status -9" in demo.text
        assert demo.left_behind() == []
        assert list(demo.folder.iterdir()) == []


@pytest.mark.parametrize("victim", ["server", "model"])
def test_death_while_the_rules_are_bred_ends_everything_and_is_explained(victim: str) -> None:
    with demonstration({}, "--generations", "400") as demo:
        demo.until("model: recorded")
        os.kill(demo.pids[victim][-1], signal.SIGKILL)
        assert demo.ends() == 1, demo.text
        assert f"the {victim} ended with status -9" in demo.text
        assert demo.left_behind() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_leaves_nothing_behind(number: signal.Signals) -> None:
    with demonstration({}) as demo:
        demo.until("bot: process")
        demo.process.send_signal(number)
        assert demo.ends() == 130, demo.text
        assert demo.left_behind() == []
        assert list(demo.folder.iterdir()) == []


def test_even_killed_it_leaves_no_process_behind() -> None:
    with demonstration({}, "--pace", "1") as demo:
        demo.until("bot: process")
        started = [psutil.Process(pid) for pids in demo.pids.values() for pid in pids]
        wait_until(lambda: any(entered.kind == "EXECUTED" for entered in read(journal(demo))))
        # Now all are idle for a second, so that none finds out by writing to the one who is gone.
        demo.process.kill()
        _, alive = psutil.wait_procs(started, timeout=20)
        assert alive == []
        assert demo.left_behind() == []


async def test_configured_database_keeps_the_signals_and_the_same_seed_trades_the_same_again(database: str) -> None:
    results = []
    for _ in range(2):
        with demonstration({"DATABASE_URL": database}, "--configured-database", "--seed", "3") as demo:
            assert demo.ends() == 0, demo.text
            results.append(re.findall(r"SMA \d+/\d+, RSI \d+ at \d+/\d+|[-+][\d.]+%", demo.text))
    assert results[0] == results[1]
    assert len(results[0]) == 16
    connection = await asyncpg.connect(database, timeout=10)
    try:
        kept = await connection.fetch("SELECT symbol, status FROM ai_trading.ai_signals")
        models = await connection.fetchval("SELECT count(*) FROM ai_trading.ai_models")
        generations = await connection.fetchval("SELECT count(*) FROM ai_trading.optimization_generations")
        performances = await connection.fetch("SELECT total_return FROM ai_trading.latest_model_performance")
    finally:
        await connection.close(timeout=10)
    assert {(row["symbol"], row["status"]) for row in kept} == {("GOOG", "EXECUTED"), ("EURUSD", "EXECUTED")}
    assert models == 4
    assert generations == 4 * 3
    assert len(performances) == 4
    assert all(f"{row['total_return']:+.2%}" in demo.text for row in performances)
