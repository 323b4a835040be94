"""grpc.health.v1, which follows the state of the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from grpc_health.v1.health import aio
from grpc_health.v1.health_pb2 import HealthCheckResponse

logger = logging.getLogger(__name__)


class Health:
    """The state of the process and of each service: one and the same, for all of them need the database."""

    def __init__(self, services: Sequence[str]) -> None:
        self.servicer = aio.HealthServicer()
        self._services = ("", *services)
        self._up = True
        self._changed = asyncio.Event()

    def on_database(self, up: bool) -> None:
        """The database answers, or does not."""
        if up != self._up:
            logger.info("the database answers again" if up else "not serving until the database answers")
            self._up = up
            self._changed.set()

    async def run(self) -> None:
        """Publishes each change until it is cancelled."""
        while True:
            self._changed.clear()
            state = HealthCheckResponse.SERVING if self._up else HealthCheckResponse.NOT_SERVING
            for service in self._services:
                await self.servicer.set(service, state)
            await self._changed.wait()

    async def drain(self) -> None:
        """NOT_SERVING for good."""
        await self.servicer.enter_graceful_shutdown()
