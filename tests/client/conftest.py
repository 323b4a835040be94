"""What the tests of the SDK share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import grpc
import pytest

from ai_grpc.app import running
from ai_grpc.client.subscriber import E, Subscriber
from ai_grpc.v1 import signals_pb2 as pb
from tests.signals import a_signal, an_active_model, chosen

AN_HOUR_LATER: Final = "UPDATE {} SET commit_time = commit_time - INTERVAL '1 hour'"


class Exchange(NamedTuple):
    """A service in this process, and a model that may publish."""

    target: str
    channel: grpc.aio.Channel
    model_id: str

    def signal(self, **changes: Any) -> pb.Signal:
        """A signal that can be published, but for the changes."""
        return a_signal(changes.pop("model_id", self.model_id), **changes)

    def signals(self, count: int) -> list[pb.Signal]:
        """So many signals."""
        return [self.signal() for _ in range(count)]


async def take(subscriber: Subscriber[E, Any], count: int) -> list[E]:
    """The next events, so many."""
    async with asyncio.timeout(30):
        return [await anext(subscriber) for _ in range(count)]


@asynccontextmanager
async def another(database: str) -> AsyncIterator[str]:
    """Where another service on the database is, which has read nothing yet."""
    async with running(chosen(), database) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
async def exchange(database: str) -> AsyncIterator[Exchange]:
    """The service on a database of its own."""
    async with (
        running(chosen(), database) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Exchange(f"127.0.0.1:{port}", channel, await an_active_model(channel))
