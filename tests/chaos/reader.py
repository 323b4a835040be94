"""A subscriber in a process of its own, which can be frozen, and which prints its history as lines of JSON."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from base64 import b64encode
from random import Random
from typing import Any

from tests.chaos.history import Message, Position, Seen, Stream
from tests.chaos.nouns import seen_of
from tests.chaos.subscribers import Habits, Subscriber


class Printer:
    """Notes as lines: of a stream that opens, of its messages, and of its end."""

    def opened(self, stream: Stream) -> None:
        """A line that begins a stream."""
        _print("opened", stream.subscriber, stream.replica, stream.opened, stream.start, _position(stream.after))

    def noted(self, stream: Stream, message: Message) -> None:
        """A line with a message of the stream."""
        events = [(seen.sequence, seen.kind, seen.key, b64encode(seen.content).decode()) for seen in message.events]
        _print("noted", message.time, message.what, _position(message.position), events)

    def closed(self, stream: Stream) -> None:
        """A line that ends the stream."""
        _print("closed", stream.ended, stream.reason, _position(stream.taken))

    def seen(self, event: Any) -> Seen:
        """The event."""
        return seen_of(event)


async def read(name: str, targets: list[str]) -> None:
    """Subscribes until SIGTERM."""
    subscriber = Subscriber(name, Printer(), targets, Habits(events=2000), Random(name))
    running = asyncio.create_task(subscriber.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    await asyncio.wait([running])
    if not running.cancelled():
        running.result()


def _position(position: Position | None) -> tuple[str, int] | None:
    return (position.epoch, position.sequence) if position else None


def _print(*values: object) -> None:
    print(json.dumps(values))


if __name__ == "__main__":
    asyncio.run(read(sys.argv[1], sys.argv[2:]))
