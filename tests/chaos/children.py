"""A reader in a process of its own, from outside: started, frozen, ended, and its history read."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM
from typing import Any, Final

from ai_grpc.v1 import signals_pb2 as pb
from tests.chaos.history import Message, Position, Seen, Stream

STOP_SECONDS: Final = 10


class Child:
    """`python -m tests.chaos.reader`, whose lines go to a file."""

    def __init__(self, name: str, targets: Sequence[str], folder: Path) -> None:
        self._name, self._targets, self._lines = name, targets, folder / f"{name}.jsonl"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, environment: Mapping[str, str]) -> None:
        """Starts it, with these variables beside the own ones."""
        with self._lines.open("ab") as lines:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.chaos.reader", self._name, *self._targets),
                stdout=lines,
                env={**os.environ, **environment},
            )

    def freeze(self) -> None:
        """SIGSTOP: its kernel takes what fits, and it does nothing."""
        self._signal(SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(SIGCONT)

    async def end(self) -> list[Stream]:
        """Ends it, and returns its history."""
        assert self._process is not None
        self.thaw()
        self._signal(SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        finally:
            if self._process.returncode is None:
                self._process.kill()
        with self._lines.open() as lines:
            return list(_streams(json.loads(line) for line in lines))

    def kill(self) -> None:
        """SIGKILL, if it is still there."""
        self._signal(SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)


def _streams(lines: Iterator[list[Any]]) -> Iterator[Stream]:
    stream: Stream | None = None
    for what, *values in lines:
        if what == "opened":
            subscriber, replica, opened, start, after = values
            stream = Stream(subscriber, replica, opened, start, _position(after), pb.SignalFilter())
            stream.taken = stream.after
            yield stream
        assert stream is not None
        if what == "noted":
            moment, kind, position, events = values
            seen = tuple(Seen(each[0], each[1], each[2], b64decode(each[3])) for each in events)
            stream.messages.append(Message(moment, kind, Position(*position), seen))
        elif what == "closed":
            stream.ended, stream.reason, taken = values
            stream.taken = _position(taken)


def _position(pair: Sequence[Any] | None) -> Position | None:
    return Position(pair[0], pair[1]) if pair else None
