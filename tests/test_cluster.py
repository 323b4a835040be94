"""The server that tests run for themselves."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.cluster import Cluster
from tests.conftest import ask, server_binaries

START = """
import sys, time
from tests.cluster import Cluster
with Cluster() as server:
    print(server.log, flush=True)
    time.sleep(60)
"""


def until_gone(folder: Path) -> None:
    """Returns when nothing of a server on the folder is left, neither files nor processes."""
    deadline = time.monotonic() + 30
    while folder.exists() or any(
        str(folder) in argument
        for process in psutil.process_iter(["cmdline"])
        for argument in process.info["cmdline"] or ()
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("end", [subprocess.Popen.terminate, subprocess.Popen.kill])
def test_nothing_is_left_of_a_server_whose_tests_were_killed(end: Callable[[subprocess.Popen[str]], None]) -> None:
    with subprocess.Popen([sys.executable, "-c", START], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip()).parent
        assert (folder / "data" / "postmaster.pid").exists()
        end(process)
    until_gone(folder)


async def test_server_comes_back_on_the_same_port_with_its_data() -> None:
    with Cluster(server_binaries()) as server:
        folder = server.log.parent
        await ask(server.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
        server.stop("immediate")
        server.start()
        assert await ask(server.url(), "SELECT answer FROM kept") == 42
        server.stop("fast")
    until_gone(folder)
