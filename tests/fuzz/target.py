"""The server under test, on a database whose ids are known beforehand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from ai_grpc.settings import MIB
from tests.faults.database import administrator
from tests.fuzz.calls import OPTIONS
from tests.fuzz.inputs import Inputs
from tests.fuzz.surface import Method, surface
from tests.fuzz.words import World, a_world
from tests.server import ServerProcess

SERVE: Final = ("ai_grpc", "serve")
CHANNELS: Final = 4
# A ring that is soon full, so that what grows after that is a leak.
SETTINGS: Final = {
    "AI_GRPC_LOG_LEVEL": "WARNING",
    "AI_GRPC_RING_EVENTS": "1000",
    "AI_GRPC_RING_BYTES": str(MIB),
    "AI_GRPC_SWEEP_INTERVAL": "0.2",
    # Once, at the start: nothing but requests and what expires may change a table.
    "AI_GRPC_UPKEEP_INTERVAL": "86400",
}
# Before it starts: else its upkeep does so beside the first requests.
PARTITIONS: Final = "SELECT ai_trading.make_feature_partitions()"
EPOCHS: Final = [f"UPDATE ai_trading.{log} SET epoch = $1" for log in ("log_meta", "event_log_meta")]
MODELS: Final = """
INSERT INTO ai_trading.ai_models (model_id, model_name, version, model_type)
SELECT m.id, m.name, 'v' || m.place, 'reinforcement_learning'
FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS m (id, name, place)
"""
# Half of the sessions that requests speak of run already.
SESSIONS: Final = """
INSERT INTO ai_trading.training_sessions (session_id, model_id, session_name)
SELECT s.id, $2, 'night run' FROM unnest($1::uuid[]) WITH ORDINALITY AS s (id, place) WHERE s.place % 2 = 0
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A server that serves, connections to it, and what to send to it."""

    dsn: str
    server: ServerProcess
    channels: Sequence[grpc.aio.Channel]
    methods: Sequence[Method]
    inputs: Inputs


@asynccontextmanager
async def target_on(
    dsn: str, log: Path, seed: int, program: Sequence[str] = SERVE, services: Collection[str] = ()
) -> AsyncIterator[Target]:
    """A server on an empty, migrated database, which is filled with the world of the seed. With services, only these
    are asked."""
    world = a_world(seed)
    await _fill(dsn, world)
    server = ServerProcess(dsn, log, SETTINGS, program)
    channels: list[grpc.aio.Channel] = []
    try:
        await server.start()
        local = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
        channels += [grpc.aio.insecure_channel(server.target, local) for _ in range(CHANNELS)]
        methods = [method for method in await surface(channels[0]) if not services or method.service in services]
        yield Target(dsn, server, channels, methods, Inputs(seed, methods, world))
    finally:
        for channel in channels:
            await channel.close()
        if server.process is not None and server.process.returncode is None:
            await server.kill()


async def _fill(dsn: str, world: World) -> None:
    async with administrator(dsn) as admin:
        for epoch in EPOCHS:
            await admin.execute(epoch, world.epoch)
        await admin.execute(PARTITIONS)
        await admin.execute(MODELS, world.model_ids, world.model_names)
        await admin.execute(SESSIONS, world.ids("session_id"), world.model_ids[0])
