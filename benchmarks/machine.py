"""What a run was measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.peers import find
from tests.cluster import Cluster

PACKAGES = ("grpcio", "protobuf", "asyncpg", "uvloop", "redis", "nats-py")
SERVERS = ("redis-server", "nats-server")


def machine() -> str:
    """Processor, memory and system."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} of {_processor()}, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def versions(cluster: Cluster) -> dict[str, str]:
    """Of the interpreter, the packages and the servers."""
    found = {"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    found["PostgreSQL"] = _said(cluster.bin / "postgres").split()[-1]
    for name in SERVERS:
        if program := find(name):
            words = _said(Path(program)).replace("v=", "").split()
            found[name] = next(word for word in words if word.lstrip("v")[0].isdigit())
    return found


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _said(program: Path) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
