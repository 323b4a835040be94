"""Channels to the service, and which target to connect to next, and when."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from typing import Final

import grpc
from grpc import aio

from ai_grpc import errors
from ai_grpc.v1 import errors_pb2 as pb

MIB: Final = 1024 * 1024
OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Without it a peer that vanished is noticed after a minute only, whatever the keepalive options say.
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_send_message_length", 4 * MIB),
    ("grpc.max_receive_message_length", 64 * MIB),
    # The streams are repeated here, where it is known what was acknowledged.
    ("grpc.enable_retries", 0),
    # A channel of its own for each connection: no backoff and no address is left over from the one that broke.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.min_reconnect_backoff_ms", 5_000),
)

_FIRST_DELAY: Final = 0.05
_LONGEST_DELAY: Final = 2.0
_LASTED: Final = 10.0

log = logging.getLogger("ai_grpc.client")


def connect(target: str, credentials: grpc.ChannelCredentials | None = None) -> aio.Channel:
    """A channel with the options that the service expects of its clients; plaintext without credentials."""
    if credentials is None:
        return aio.insecure_channel(target, OPTIONS)
    return aio.secure_channel(target, credentials, OPTIONS)


class Route:
    """The targets in turn: the next one at once, and when all failed, with exponential backoff and jitter."""

    def __init__(self, targets: str | Sequence[str], credentials: grpc.ChannelCredentials | None) -> None:
        self._targets = [targets] if isinstance(targets, str) else list(targets)
        if not self._targets:
            raise ValueError("at least one target is needed")
        self._credentials = credentials
        self._turn = 0
        self._failures = 0
        self._not_before = 0.0
        self._connected = 0.0

    @property
    def exhausted(self) -> bool:
        """Whether every target failed since the last success."""
        return self._failures >= len(self._targets)

    async def connect(self) -> aio.Channel:
        """Waits until it is time to try again, then gives a channel to the target whose turn it is."""
        await asyncio.sleep(self._not_before - time.monotonic())
        self._connected = time.monotonic()
        return connect(self._target, self._credentials)

    def succeeded(self) -> None:
        """The connection works: the next failure is the first one."""
        if self._failures:
            log.info("%s answers", self._target)
            self._failures = 0

    def failed(self, error: errors.Error) -> None:
        """The connection broke: it is the next target's turn."""
        if time.monotonic() - self._connected > _LASTED:
            self._failures = 0
        self._failures += 1
        delay = 0.0
        if self.exhausted:
            rounds = min(self._failures // len(self._targets), 10)
            backoff = min(_LONGEST_DELAY, _FIRST_DELAY * 2**rounds) * random.uniform(0.5, 1)
            delay = max(backoff, error.retry_delay or 0)
        expected = self._failures > 1 or error.reason == pb.ERROR_REASON_DRAINING
        log.log(logging.DEBUG if expected else logging.WARNING, "%s: %s; connecting again", self._target, error)
        self._not_before = time.monotonic() + delay
        self._turn += 1

    @property
    def _target(self) -> str:
        return self._targets[self._turn % len(self._targets)]
