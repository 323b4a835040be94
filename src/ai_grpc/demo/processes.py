"""The processes of the demonstration: started apart, heard line by line, never left behind."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAST_LINES = 15
STOP_GRACE = 20.0
CAUSE_SECONDS = 2.0


class ChildDied(Exception):
    """A process ended that should have lived; the text ends with the last lines of its log."""


def say(what: str, **fields: object) -> None:
    """Tells the parent something, as one JSON line."""
    print(json.dumps({"say": what, **fields}), flush=True)


@dataclass
class Child:
    """A process with a log file, whose standard output is one JSON message in each line."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    async def receive(self, *, within: float) -> dict[str, Any]:
        """The next message; ChildDied if there is none within the seconds."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(within):
                line = await self.process.stdout.readline()
                if not line.endswith(b"\n"):
                    await self.watch()
        except TimeoutError:
            raise ChildDied(f"the {self.name} said nothing for {within:g} s{self.last_lines()}") from None
        message: dict[str, Any] = json.loads(line)
        return message

    async def until(self, say: str, *, within: float) -> dict[str, Any]:
        """The next message of a kind, whatever is said before it; ChildDied after so many seconds of silence."""
        while (message := await self.receive(within=within))["say"] != say:
            pass
        return message

    async def watch(self) -> None:
        """Raises ChildDied when the process ends."""
        status = await self.process.wait()
        raise ChildDied(f"the {self.name} ended with status {status}{self.last_lines()}")

    async def tell(self, line: str) -> None:
        """Writes a line to the process."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()

    async def kill(self) -> None:
        """SIGKILL, and waits until the process is gone."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL if that does not end it in time."""
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            # Nobody reads the pipe any more, and a full one would hold the process up.
            await asyncio.wait_for(self.process.communicate(), STOP_GRACE)
        except TimeoutError:
            await self.kill()

    def last_lines(self) -> str:
        """The end of the log, to follow a sentence."""
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return "".join(f"\n  {line}" for line in lines) or ", and logged nothing"


@asynccontextmanager
async def child(
    name: str,
    module: str,
    *arguments: str,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    place: Path | None = None,
) -> AsyncIterator[Child]:
    """A running Python module with its log in the folder, stopped at the end of the block."""
    log = folder / f"{name}.log"
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=dict(os.environ if environment is None else environment),
            cwd=place,
            # A Ctrl-C in the terminal reaches the conductor alone, who stops the others in order.
            start_new_session=True,
        )
    started = Child(name, process, log)
    try:
        yield started
    finally:
        await started.stop()


@asynccontextmanager
async def watched(process: Child) -> AsyncIterator[None]:
    """Raises ChildDied, in a group, when the process ends within the block, in the place of what that leads to."""
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(process.watch())
        try:
            yield
        except Exception:
            # Whoever talked to the process may have noticed its death first.
            await asyncio.wait([watch], timeout=CAUSE_SECONDS)
            raise
        watch.cancel()
