"""Long conversions, which give the event loop back now and then."""

from __future__ import annotations

import asyncio
from typing import Final

from google.protobuf.message import Message

# Making so much of messages with free-form content takes a few milliseconds.
BYTES: Final = 64 * 1024


class Turns:
    """Whoever converts messages says after each what it was, and waits while others have their turn."""

    def __init__(self) -> None:
        self._bytes = 0

    async def after(self, message: Message) -> None:
        """Pauses if enough has been done since the last pause."""
        self._bytes += message.ByteSize()
        if self._bytes >= BYTES:
            self._bytes = 0
            await asyncio.sleep(0)
