"""A server that a module of the tests starts, which changes the program or looks into it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from grpc_health.v1.health_pb2 import HealthCheckResponse

from tests.server import START_SECONDS, ServerProcess


class LaunchedServer(ServerProcess):
    """Runs `python -m <program>` instead of `ai-grpc serve`."""

    def __init__(self, dsn: str, log: Path, settings: Mapping[str, str], program: Sequence[str]) -> None:
        super().__init__(dsn, log, settings)
        self._program = program

    async def start(self) -> None:
        """Returns when it serves."""
        own = {"DATABASE_URL": self._dsn, "AI_GRPC_HOST": "127.0.0.1", "AI_GRPC_PORT": str(self.port)}
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *self._program),
                env={**os.environ, **own, **self._settings},
                stdout=log,
                stderr=log,
            )
        await self.becomes(HealthCheckResponse.SERVING, START_SECONDS)
