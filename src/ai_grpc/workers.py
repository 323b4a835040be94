"""Several processes that serve on one port, and the one that keeps them, which serves nothing and replaces what dies.

The first worker is the test of the configuration: the others wait until it serves.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from typing import Final, NoReturn

from pydantic import SecretStr

from ai_grpc.embedded import database
from ai_grpc.errors import ConfigurationError
from ai_grpc.port import held_port
from ai_grpc.settings import Settings
from ai_grpc.worker_process import WorkerFailed, worker

# Seconds. Who dies younger dies of the start; so many such deaths in a row, after ever longer pauses, end the service.
INFANCY: Final = 10.0
DEATHS: Final = 5
FIRST_PAUSE: Final = 0.25

logger = logging.getLogger(__name__)


async def supervise(settings: Settings) -> None:
    """Keeps `settings.workers` processes serving until SIGTERM or SIGINT, then drains them.

    Raises ConfigurationError when they cannot start, and WorkerFailed.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with held_port(settings.host, settings.port) as port:
        async with database(settings) as dsn:
            found = {"database_url": SecretStr(dsn), "port": port}
            await _keep_all(settings.model_copy(update=found), stop)


async def _keep_all(settings: Settings, stop: asyncio.Event) -> None:
    served = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as tasks:
            places = [tasks.create_task(_keep(number + 1, settings, served)) for number in range(settings.workers)]
            await stop.wait()
            logger.info("draining")
            for place in places:
                place.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group


async def _keep(number: int, settings: Settings, served: asyncio.Event) -> NoReturn:
    """Keeps one worker alive until it is cancelled, and drains it then."""

    def on_serving() -> None:
        logger.info("worker %d serves", number)
        served.set()

    if number > 1:
        await served.wait()
    deaths = 0
    while True:
        begin = time.monotonic()
        async with worker(number, settings) as process:
            complaint = await process.complaint(on_serving)
            reason = complaint or process.status
        logger.warning("worker %d died: %s", number, reason)
        if complaint and not served.is_set():
            raise ConfigurationError(complaint)
        deaths = deaths + 1 if time.monotonic() - begin < INFANCY else 0
        if deaths == DEATHS:
            raise WorkerFailed(f"worker {number} died {DEATHS} times in a row at its start: {reason}")
        await asyncio.sleep(FIRST_PAUSE * 2 ** (deaths - 1) if deaths else 0)
        logger.info("worker %d is replaced", number)
