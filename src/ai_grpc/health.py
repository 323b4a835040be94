"""grpc.health.v1, which follows the state of the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import grpc
from grpc_health.v1.health_pb2 import (
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListRequest,
    HealthListResponse,
)
from grpc_health.v1.health_pb2_grpc import HealthServicer

# Of several processes on one port any may answer: this trailer says which one did.
SERVER_ID: Final = "x-server-id"

logger = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


class Health(HealthServicer):  # type: ignore[misc]  # the package has no types
    """The state of the process and of each service: one and the same, for all of them need the database."""

    def __init__(self, services: Sequence[str], server_id: str) -> None:
        self._services = {"", *services}
        self._trailer = ((SERVER_ID, server_id),)
        self._up, self._draining = True, False
        self._changed = asyncio.Event()

    async def Check(self, request: HealthCheckRequest, context: Context) -> HealthCheckResponse:
        """The state now."""
        context.set_trailing_metadata(self._trailer)
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service[:200]!r}")
        return self._state(request.service)

    async def List(self, request: HealthListRequest, context: Context) -> HealthListResponse:
        """The state of all."""
        context.set_trailing_metadata(self._trailer)
        return HealthListResponse(statuses={service: self._state(service) for service in self._services})

    async def Watch(self, request: HealthCheckRequest, context: Context) -> AsyncIterator[HealthCheckResponse]:
        """The state, and each change of it. Ends when the server stops, which would wait for it otherwise."""
        context.set_trailing_metadata(self._trailer)
        last = None
        while True:
            changed, draining, state = self._changed, self._draining, self._state(request.service)
            if state != last:
                yield state
            if draining:
                return
            last = state
            await changed.wait()

    def on_database(self, up: bool) -> None:
        """The database answers, or does not."""
        if up != self._up:
            logger.info("the database answers again" if up else "not serving until the database answers")
            self._up = up
            self._wake()

    def drain(self) -> None:
        """NOT_SERVING for good."""
        self._draining = True
        self._wake()

    def _state(self, service: str) -> HealthCheckResponse:
        if service not in self._services:
            return HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
        if self._up and not self._draining:
            return HealthCheckResponse(status=HealthCheckResponse.SERVING)
        return HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
