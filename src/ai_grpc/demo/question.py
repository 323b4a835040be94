"""A question to the tables: which of the rules made good signals?"""

from __future__ import annotations

from pathlib import Path

import asyncpg

from ai_grpc.db import CONNECT_TIMEOUT, connect
from ai_grpc.demo.server import database_url
from ai_grpc.embedded import database
from ai_grpc.settings import Settings

ANSWER_TIMEOUT = 10.0
# Shown as it is, for the user to ask again, of any signals.
QUESTION = """\
SELECT symbol, metadata->>'rule' AS rule, count(*) AS signals,
  round(100 * avg(pnl_if_executed / reference_price), 3) AS mean_percent
FROM ai_trading.enriched_ai_signals WHERE model_version = $1
GROUP BY 1, 2 ORDER BY 1, 2"""


async def ask(version: str, folder: Path | None) -> list[asyncpg.Record]:
    """What the tables say of a version of the models: those in the server's folder, or else the configured ones."""
    if folder is not None:
        return await _answer(await asyncpg.connect(database_url(folder), timeout=CONNECT_TIMEOUT), version)
    settings = Settings()
    async with database(settings, migrate_embedded=False) as url:
        return await _answer(await connect(url, settings, "demo"), version)


async def _answer(connection: asyncpg.Connection, version: str) -> list[asyncpg.Record]:
    try:
        return list(await connection.fetch(QUESTION, version, timeout=ANSWER_TIMEOUT))
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT)
