"""The bot's memory: one JSON line for each event, on disk before the bot acts on it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from google.protobuf.json_format import MessageToDict, ParseDict

from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2


@dataclass(frozen=True)
class Entered:
    """An event as the bot received it. `live` says that it was new then, not sent as a past one."""

    epoch: str
    sequence: int
    kind: str
    commit_ns: int
    received_ns: int
    live: bool
    signal: dict[str, Any]

    @classmethod
    def of(cls, event: pb.SignalEvent, *, epoch: str, received_ns: int, live: bool) -> Entered:
        """The line for an event."""
        commit_ns = event.commit_time.ToNanoseconds()
        kind = pb.SignalEvent.Kind.Name(event.kind).removeprefix("KIND_")
        signal = MessageToDict(event.signal, preserving_proto_field_name=True)
        return cls(epoch, event.sequence, kind, commit_ns, received_ns, live, signal)

    @property
    def signal_id(self) -> str:
        """Which signal it happened to."""
        return str(self.signal["signal_id"])

    def to_signal(self) -> pb.Signal:
        """The signal as it came."""
        return ParseDict(self.signal, pb.Signal())


def read(path: Path) -> list[Entered]:
    """The finished lines of a journal, which may not exist yet."""
    whole, _, _ = (path.read_bytes() if path.exists() else b"").rpartition(b"\n")
    return [Entered(**json.loads(line)) for line in whole.splitlines()]


class Journal:
    """An append-only file of events. `entered` is what it held when it was opened and what was added since."""

    def __init__(self, path: Path) -> None:
        self.entered = read(path)
        self._file = path.open("ab")
        # A kill in the middle of a line leaves it unfinished: that event was not acted on, and will come again.
        self._file.truncate(path.read_bytes().rfind(b"\n") + 1)

    def append(self, entered: Entered) -> None:
        """Returns when the line is on disk."""
        self._file.write(json.dumps(asdict(entered)).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.entered.append(entered)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def position(self) -> streams_pb2.Position | None:
        """Where to resume; None before the first event."""
        if not self.entered:
            return None
        return streams_pb2.Position(epoch=self.entered[-1].epoch, sequence=self.entered[-1].sequence)
