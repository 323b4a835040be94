"""A client that knows nothing at all: buf asks the server for its schema, and speaks JSON to its user."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.server import ServerProcess, serving

BUF: Final = str(Path(sys.executable).with_name("buf"))
SIGNALS: Final = "ai_grpc.v1.SignalService"
MODELS: Final = "ai_grpc.v1.ModelService"
SECONDS: Final = 20


async def test_buf_needs_nothing_but_the_address(database: str, tmp_path: Path) -> None:
    async with serving(database, tmp_path / "log") as server:
        async with _buf(server, "", "--list-methods") as process:
            methods = (await process.communicate())[0].decode().split()
        assert {f"{SIGNALS}/SubscribeSignals", f"{MODELS}/RegisterModel", "grpc.health.v1.Health/Check"} <= {*methods}
        assert await _call(server, "grpc.health.v1.Health/Check", {}) == {"status": "SERVING"}

        body = {"modelName": "from-buf", "version": "1", "modelType": "genetic_optimization"}
        model = (await _call(server, f"{MODELS}/RegisterModel", body))["model"]
        signal = {
            "signalId": "00000000-0000-4000-8000-000000000001",
            "modelId": model["modelId"],
            "symbol": "BTCUSDT",
            "signalType": "SIGNAL_TYPE_BUY",
            "confidence": 0.8,
            "signalTime": "2026-06-01T12:00:00.123456Z",
            "metadata": {"rsi": 31},
        }
        published = await _call(server, f"{SIGNALS}/PublishSignals", {"signals": [signal]})
        assert published["results"] == [{"sequence": "1"}]
        stored = {**signal, "state": "SIGNAL_STATE_ACTIVE"}
        (listed,) = (await _call(server, f"{SIGNALS}/ListSignals", {"symbols": ["BTCUSDT"]}))["signals"]
        assert {key: value for key, value in listed.items() if key != "createTime"} == stored

        async with aclosing(_messages(server, f"{SIGNALS}/SubscribeSignals", {"earliest": {}})) as messages:
            assert "started" in await anext(messages)
            batch = await anext(messages)
        assert batch["batch"]["events"][0]["signal"] == listed
        assert batch["position"] == {"epoch": published["epoch"], "sequence": "1"}

        refused = await _call(server, f"{SIGNALS}/PublishSignals", {"signals": [{**signal, "confidence": 2}]})
        assert refused["code"] == "invalid_argument"
        assert [detail["type"] for detail in refused["details"]] == ["google.rpc.ErrorInfo", "google.rpc.BadRequest"]


async def _call(server: ServerProcess, method: str, request: dict[str, Any]) -> dict[str, Any]:
    """The response, or the error, as buf shows it."""
    async with _buf(server, method, "--data", json.dumps(request)) as process:
        output, errors = await process.communicate()
    told: dict[str, Any] = json.loads(output or errors)
    return told


async def _messages(
    server: ServerProcess, method: str, request: dict[str, Any]
) -> AsyncGenerator[dict[str, Any], None]:
    """The messages of a stream, as they come."""
    async with _buf(server, method, "--data", json.dumps(request)) as process:
        assert process.stdout is not None
        text = ""
        while line := await process.stdout.readline():
            text += line.decode()
            if line == b"}\n":
                yield json.loads(text)
                text = ""


@asynccontextmanager
async def _buf(server: ServerProcess, method: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *arguments),
        f"http://{server.target}/{method}".rstrip("/"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
