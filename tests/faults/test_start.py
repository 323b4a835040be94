"""A server that cannot start says in one line what to put right, keeps the password to itself, and ends."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
import uuid
from typing import Final

import pytest

from tests.cluster import free_port
from tests.faults.database import administrator

PASSWORD: Final = "s3cret-pa55word"
LATER: Final = "INSERT INTO ai_trading.schema_migrations (version) VALUES ('9999')"


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("postgresql://bot:{password}@127.0.0.1:{port}/trading", "no connection to"),
        ("postgresql://bot:{password}@no-such-host.invalid/trading", "no connection to"),
        ("postgresql://bot:{password}@127.0.0.1:none/trading", "database URL"),
        ("mysql://bot:{password}@127.0.0.1/trading", "database URL is not readable"),
    ],
)
async def test_database_that_is_not_there_stops_the_start(url: str, advice: str) -> None:
    line = await _line_of_a_failed_start(url.format(password=PASSWORD, port=free_port()))
    assert advice in line


async def test_wrong_password_stops_the_start(database: str) -> None:
    async with administrator(database) as admin:
        role = f"bot_{uuid.uuid4().hex}"
        await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
        try:
            url = re.sub(r"(?<=//)[^@/]*@", f"{role}:not-{PASSWORD}@", database)
            assert "password authentication failed" in await _line_of_a_failed_start(url, AI_GRPC_DATABASE_WAIT="30")
        finally:
            await admin.execute(f"DROP ROLE {role}")


async def test_taken_port_stops_the_start(database: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = await _line_of_a_failed_start(database, AI_GRPC_PORT=port)
    assert port in line
    assert "port taken" in line


async def test_database_without_its_schema_stops_the_start(empty_database: str) -> None:
    assert "ai-grpc migrate up" in await _line_of_a_failed_start(empty_database)


async def test_schema_of_a_later_program_stops_the_start(database: str) -> None:
    async with administrator(database) as admin:
        await admin.execute(LATER)
    assert "newer than this program (it has migration 9999)" in await _line_of_a_failed_start(database)


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("AI_GRPC_PORT", "http", "AI_GRPC_PORT in the environment"),
        ("AI_GRPC_CALLS_POOL_SIZE", "0", "AI_GRPC_CALLS_POOL_SIZE in the environment"),
        ("AI_GRPC_LOG_LEVEL", "LOUD", "AI_GRPC_LOG_LEVEL is 'LOUD'"),
        ("AI_GRPC_DATABASE_ROLE", "nobody_at_all", 'role "nobody_at_all" does not exist'),
        ("AI_GRPC_READ_DATABASE_URL", f"mysql://bot:{PASSWORD}@127.0.0.1/trading", "database URL is not readable"),
    ],
)
async def test_setting_that_makes_no_sense_stops_the_start(name: str, value: str, advice: str, database: str) -> None:
    assert advice in await _line_of_a_failed_start(database, **{name: value})


async def _line_of_a_failed_start(url: str, **settings: str) -> str:
    """The one line that the program writes before it ends."""
    own = {"DATABASE_URL": url, "AI_GRPC_HOST": "127.0.0.1", "AI_GRPC_PORT": "0", "AI_GRPC_DATABASE_WAIT": "0.5"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ai_grpc", "serve"),
        env={**os.environ, **own, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(20):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = errors.decode()
    assert process.returncode == 1, text
    assert PASSWORD not in text
    assert "Traceback" not in text
    assert not output
    # gRPC and the log may say something before.
    *_, line = text.splitlines()
    assert line.startswith("ai-grpc: ")
    return line
