"""A server, and a channel to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc import aio

from ai_grpc.client import connect
from tests.server import serving


@pytest.fixture
async def target(database: str, tmp_path: Path) -> AsyncIterator[str]:
    async with serving(database, tmp_path / "server.log") as server:
        yield server.target


@pytest.fixture
async def channel(target: str) -> AsyncIterator[aio.Channel]:
    async with connect(target) as channel:
        yield channel
