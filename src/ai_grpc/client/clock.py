"""The server's clock, as far as a subscriber can know it."""

from __future__ import annotations

import math
import time

from google.protobuf.timestamp_pb2 import Timestamp


class ServerClock:
    """Tells how old an event is now.

    Many events may lie between the sockets while their reader is busy: what the server's clock said when it sent them
    does not tell how old they have become. The message that took the shortest way tells how far the clocks are apart.
    """

    def __init__(self) -> None:
        self._offset = math.inf

    def hear(self, server_time: Timestamp, *, afresh: bool) -> None:
        """Takes note of a message that was sent at `server_time`; `afresh` if it is the first from this server."""
        offset = time.monotonic() - _seconds(server_time)
        self._offset = offset if afresh else min(offset, self._offset)

    def age(self, moment: Timestamp) -> float:
        """The seconds since a moment of the server's clock; at least 0."""
        return max(0.0, time.monotonic() - self._offset - _seconds(moment))


def _seconds(moment: Timestamp) -> float:
    return moment.seconds + moment.nanos / 1e9
