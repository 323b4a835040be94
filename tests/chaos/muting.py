"""PostgreSQL's answers without the notifications in them."""

from __future__ import annotations

from typing import Final

NOTIFICATION: Final = b"A"
HEADER: Final = 5


class Muting:
    """Follows what a server of PostgreSQL sends on one connection, and takes the notifications out when told to.

    On a connection of another protocol it is to be told nothing of the kind: then it changes nothing.
    """

    def __init__(self) -> None:
        self._begun = self._lost = False
        self._rest = b""
        self._left = 0
        self._dropping = False

    def through(self, data: bytes, *, mute: bool) -> bytes:
        """What of the data goes on; the beginning of a message may wait for the next call."""
        if self._lost:
            return data
        if not self._begun:
            self._begun = True
            # The answer to the request for TLS is one byte without a length; that of any other protocol is no answer.
            if data[:1] in (b"N", b"R", b"E"):
                return data[:1] + self._messages(data[1:], mute) if data[:1] == b"N" else self._messages(data, mute)
            self._lost = True
            return data
        return self._messages(data, mute)

    def _messages(self, data: bytes, mute: bool) -> bytes:
        data, self._rest = self._rest + data, b""
        passed: list[bytes] = []
        while data:
            if not self._left:
                if len(data) < HEADER:
                    self._rest = data
                    break
                self._left = 1 + int.from_bytes(data[1:HEADER], "big")
                self._dropping = mute and data[:1] == NOTIFICATION
            part, data = data[: self._left], data[self._left :]
            self._left -= len(part)
            if not self._dropping:
                passed.append(part)
        return b"".join(passed)
