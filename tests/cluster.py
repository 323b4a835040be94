"""A PostgreSQL server of its own for tests, on a TCP port of the loopback, gone without a trace afterwards."""

from __future__ import annotations

import os
import random
import shlex
import socket
import subprocess
import tempfile
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from ai_grpc.postgres import binaries, unprivileged

SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "log_line_prefix": "%m %a ",
}

# Any login but the superuser's needs its password.
ACCESS: Final = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"

# Outlives the tests, whatever ends them: it reads until the last writer of its input is gone, and clears up.
REAPER: Final = 'cat; "$1/pg_ctl" --pgdata "$2/data" --mode immediate stop; rm -rf "$2"'

WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 4
FIRST_PORT: Final = 20_000 + 3_000 * WORKER
PORTS: Final = cycle(random.Random().sample(range(FIRST_PORT, FIRST_PORT + 3_000), 3_000))


class Cluster:
    """A server that tests may stop and start at will: the same port and the same data, fsync on.

    `folder` is where its files are: in that for temporary ones unless it says otherwise.
    """

    def __init__(self, bin_directory: Path | None = None, folder: Path | None = None) -> None:
        self.bin = bin_directory or binaries()
        self.port = free_port()
        self._user = unprivileged()
        self._home = Path(tempfile.mkdtemp(prefix="ai-grpc-postgres-", dir=folder))
        if self._user:
            os.chown(self._home, self._user["user"], self._user["group"])
        self._reaper = subprocess.Popen(
            ["sh", "-c", REAPER, "reaper", str(self.bin), str(self._home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            **self._user,
        )

    def url(self, database: str = "postgres") -> str:
        """Where a database of this server is."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Starts the server, on its first start with empty data; returns when it accepts connections."""
        data = self._home / "data"
        if not data.exists():
            self._run("initdb", "--pgdata", data, "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync")
            (data / "pg_hba.conf").write_text(ACCESS)
        settings = {"port": str(self.port), **SETTINGS}
        options = shlex.join(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
        self._run(
            "pg_ctl", "--pgdata", data, "--log", self.log, "--timeout=60", "--wait", "--options", options, "start"
        )

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stops the server: `fast` in good order, `immediate` as a crash would."""
        self._run("pg_ctl", "--pgdata", self._home / "data", "--mode", mode, "--timeout=60", "stop")

    def close(self) -> None:
        """Ends the server and removes its data."""
        self._reaper.communicate(timeout=60)

    @property
    def log(self) -> Path:
        """What the server wrote."""
        return self._home / "log"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, program: str, *arguments: str | Path) -> None:
        result = subprocess.run(
            [self.bin / program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self._home,
            timeout=90,
            **self._user,
        )
        if result.returncode != 0:
            log = self.log.read_text() if self.log.exists() else ""
            raise RuntimeError(f"{program} failed: {result.stdout}{result.stderr}{log}")


def free_port() -> int:
    """A free TCP port of the loopback, outside the range of outgoing connections.

    So no client that tries to reach a stopped server again and again can be given the server's port, and meet itself.
    None is given to two, not even by another worker of the same run: they bind it some time later, and again.
    """
    while True:
        port = next(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
