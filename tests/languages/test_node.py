"""A client in JavaScript that knows nothing but the .proto files."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import google.rpc
import grpc
import pytest

from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.server import serving

SOURCES: Final = Path(__file__).with_name("node")
PROTOS: Final = Path(__file__).parents[2] / "protos"
# The folder that has google/rpc/*.proto.
GOOGLE: Final = Path(google.rpc.__path__[0]).parents[1]
INSTALL: Final = "npm install --prefer-offline --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error"
SECONDS: Final = 60


@pytest.fixture(scope="module")
def node_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client with the packages that it needs."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("node")
    for source in SOURCES.iterdir():
        shutil.copy(source, folder)
    try:
        result = subprocess.run(INSTALL.split(), cwd=folder, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install the packages within {SECONDS} s")
    if result.returncode != 0:
        pytest.skip(f"npm cannot install the packages: {result.stderr.strip()[-300:]}")
    return folder / "client.js"


async def test_node_publishes_subscribes_and_reads_why_it_was_refused(
    node_client: Path, database: str, tmp_path: Path
) -> None:
    async with serving(database, tmp_path / "log") as server, grpc.aio.insecure_channel(server.target) as channel:
        told = await _run(node_client, server.target)
        request = pb.GetSignalRequest(signal_id="00000000-0000-4000-8000-000000000003")
        signal = (await SignalServiceStub(channel).GetSignal(request, timeout=10)).signal
    assert told["model"]["active"]
    assert told["published"]["code"] == grpc.StatusCode.OK.value[0]
    answers = told["published"]["answers"]
    assert [(result["sequence"], result["duplicate"]) for answer in answers for result in answer["results"]] == [
        ("1", False),
        ("2", False),
        ("3", False),
    ]
    first, *_, last = told["messages"]
    assert first["started"]["head"] == "3"
    assert last["position"]["sequence"] == "3"
    events = [event for message in told["messages"] if message.get("batch") for event in message["batch"]["events"]]
    assert [(event["sequence"], event["kind"]) for event in events] == [(n, "KIND_PUBLISHED") for n in "123"]
    assert events[2]["signal"]["signal_id"] == signal.signal_id
    assert events[2]["signal"]["price_target"] == signal.price_target == "1.2345"
    assert events[2]["signal"]["confidence"] == signal.confidence == 0.8734
    assert signal.signal_time.ToNanoseconds() == 1_780_000_000_123_456_000
    assert dict(signal.metadata) == {"rsi": 31, "setup": "reversal"}
    assert told["refusal"]["code"] == "INVALID_ARGUMENT"
    info, bad_request = told["refusal"]["details"]
    assert (info["reason"], info["domain"]) == ("INVALID_FIELD", "ai_grpc")
    violations = {violation["field"] for violation in bad_request["field_violations"]}
    assert violations == {"signals[0].confidence", "signals[0].symbol"}


async def _run(client: Path, target: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *("node", client, target, PROTOS, GOOGLE),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    told: dict[str, Any] = json.loads(output)
    return told
