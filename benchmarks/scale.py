"""Lists, the latest, and what was known at a time, read through the service from millions of rows, with the plans."""

from __future__ import annotations

import argparse
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import grpc
import uvloop
from google.protobuf import descriptor_pool, message_factory

from ai_grpc.v1 import performance_pb2
from ai_grpc.v1.periods_pb2 import Period
from benchmarks import scale_document
from benchmarks.figures import percentile
from benchmarks.load import Call, one_by_one
from benchmarks.machine import machine, versions
from benchmarks.past import past
from benchmarks.stage import Scale, Stage
from tests import filling, plans
from tests.cluster import Cluster
from tests.reads import Read, reads
from tests.server import serving

MILLION: Final = 1_000_000
SIZES: Final = {
    "ai_models": 1_000,
    "ai_model_aliases": 1_000,
    "ai_signals": 5 * MILLION,
    "signal_log": 5 * MILLION,
    "feature_data": 5 * MILLION,
    "signal_performance": MILLION,
    "model_performance": 5_000,
    "anomaly_detections": MILLION,
    "spectrum_analysis": 100_000,
    "training_sessions": 10_000,
    "rl_episodes": 100_000,
    "optimization_runs": 10_000,
    "optimization_generations": 100_000,
    "optimization_individuals": 500_000,
}
CALLS: Final = 220
# They compute from all rows of a month, and have no target.
COMPUTED: Final = ("PerformanceService.GetCalibration", "PerformanceService.UpdateModelPerformance")


class Measured(NamedTuple):
    """How long a read took, in seconds, and how PostgreSQL found the rows."""

    title: str
    target: bool
    p50: float
    p99: float
    rows: float
    scanned: list[str]
    shape: str


async def run(sizes: dict[str, int]) -> dict[str, Any]:
    """Fills, measures one read after the other, and returns what docs/benchmarks-scale.md says."""
    begin, end = time.monotonic(), filling.now()
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    with Cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        stage = Stage(cluster, Path(folder), Scale(1, 1, 0, 0, 0))
        dsn = await past(stage, sizes, end)
        filled = time.monotonic() - begin
        async with serving(dsn, Path(folder) / "server.log") as server, grpc.aio.insecure_channel(server.target) as way:
            measured = [await _measured(dsn, way, read) for read in [*reads(end), _update(end)]]
        return {
            "date": date,
            "machine": machine(),
            "versions": versions(cluster),
            "sizes": sizes,
            "filled": round(filled),
            "seconds": round(time.monotonic() - begin),
            "measured": [each._asdict() for each in measured],
        }


async def _measured(dsn: str, channel: grpc.aio.Channel, read: Read) -> Measured:
    seconds = await one_by_one(_call(channel, read), CALLS // 10 if read.method in COMPUTED else CALLS)
    connection = await plans.connect(dsn)
    try:
        steps = [await plans.plan(connection, query) for query in await plans.queries(connection, read)]
    finally:
        await connection.close()
    scanned = sorted({table for step in steps for table in step.scanned()})
    last = steps[-1]
    result = Measured(
        read.title,
        read.method not in COMPUTED,
        percentile(seconds, 0.5),
        percentile(seconds, 0.99),
        last.read(),
        scanned,
        last.shape(),
    )
    print(f"{result.p50 * 1e3:8.2f} {result.p99 * 1e3:8.2f} ms  {result.title}: {result.shape[:110]}", flush=True)
    return result


def _call(channel: grpc.aio.Channel, read: Read) -> Call:
    """The call through the service; of a stream, its first message."""
    service, _, name = read.method.partition(".")
    method = descriptor_pool.Default().FindServiceByName(f"ai_grpc.v1.{service}").methods_by_name[name]
    path = f"/ai_grpc.v1.{service}/{name}"
    encode = type(read.request).SerializeToString
    decode = message_factory.GetMessageClass(method.output_type).FromString
    stream, unary = channel.unary_stream(path, encode, decode), channel.unary_unary(path, encode, decode)

    async def first() -> object:
        call = stream(read.request, timeout=30)
        message = await call.read()
        call.cancel()
        return message

    async def anew() -> object:
        if isinstance(read.request, performance_pb2.UpdateModelPerformanceRequest):
            read.request.performance_id = str(uuid.uuid4())
        return await unary(read.request, timeout=30)

    return first if method.server_streaming else anew


def _update(end: datetime) -> Read:
    first = (end - timedelta(days=60)).date()
    period = Period(start_date=str(first), end_date=str(first + timedelta(days=30)))
    request = performance_pb2.UpdateModelPerformanceRequest(
        performance_id=str(uuid.uuid4()), model_id=filling.id_of(7), evaluation_period=period
    )
    return Read("a model, a month", "PerformanceService.UpdateModelPerformance", request)


def main() -> None:
    """Measures, prints, and writes docs/benchmarks-scale.md if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write the document")
    parser.add_argument("--share", type=float, default=1, help="of the rows of a full run")
    options = parser.parse_args()
    sizes = {table: max(filling.MODELS, round(size * options.share)) for table, size in SIZES.items()}
    results = uvloop.run(run(sizes))
    document = scale_document.text(results)
    print(document)
    if options.output:
        (options.output / "benchmarks-scale.md").write_text(document)


if __name__ == "__main__":
    main()
