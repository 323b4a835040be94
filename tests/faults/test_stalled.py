"""A subscriber that stops reading harms nobody, costs the server little, and misses nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Final

import grpc
import psutil

from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.faults.history import Entry, check_delivery, check_log, entry_of, the_log
from tests.load import SCALE, SCALED_SECONDS, scaled
from tests.server import ServerProcess, serving
from tests.signals import a_signal, an_active_model

if TYPE_CHECKING:
    from ai_grpc.v1.signals_pb2_grpc import SignalServiceAsyncStub

MIB: Final = 1024 * 1024
REQUEST: Final = 10
QUIET_SECONDS: Final = 6
STALLED_SECONDS: Final = int(20 * SCALE)
STALLED_SIGNALS: Final = int(20_000 * SCALE)
# With these, the ring holds a tenth of what comes while one does not read, and the connection as little of it.
SETTINGS: Final = {"AI_GRPC_RING_EVENTS": "2000", "AI_GRPC_LOG_LEVEL": "WARNING"}
METADATA: Final = {"note": "x" * 1500}
RSS_ALLOWANCE: Final = 20 * MIB


class Subscriber:
    """Reads live events and keeps how many seconds each took from its publisher."""

    def __init__(self, stub: SignalServiceAsyncStub, sent: dict[str, float]) -> None:
        request = pb.SubscribeSignalsRequest(earliest=streams_pb2.Earliest())
        self._call, self._sent = stub.SubscribeSignals(request), sent
        self.entries: list[Entry] = []
        self.seconds: list[float] = []
        self.fell_behind = 0

    async def read(self, count: int) -> None:
        """Reads until it has had so many events."""
        while len(self.entries) < count:
            message = await self._call.read()
            assert isinstance(message, pb.SubscribeSignalsResponse)
            now = time.monotonic()
            self.fell_behind += message.HasField("fell_behind")
            self.entries += map(entry_of, message.batch.events)
            self.seconds += (now - self._sent[event.signal.signal_id] for event in message.batch.events)

    def p99(self) -> float:
        """Of the deliveries since it was asked last."""
        seconds, self.seconds = self.seconds, []
        return quantiles(seconds, n=100)[98]


@scaled
async def test_stalled_subscriber_harms_nobody_and_misses_nothing(database: str, tmp_path: Path) -> None:
    sent: dict[str, float] = {}
    async with (
        serving(database, tmp_path / "log", SETTINGS) as server,
        grpc.aio.insecure_channel(server.target) as channel,
        grpc.aio.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) as own_channel,
        asyncio.timeout(SCALED_SECONDS),
    ):
        stub: SignalServiceAsyncStub = SignalServiceStub(channel)
        model_id = await an_active_model(channel)
        healthy = [Subscriber(stub, sent) for _ in range(3)]
        quiet_signals = STALLED_SIGNALS * QUIET_SECONDS // STALLED_SECONDS
        await _publish_and_read(stub, model_id, quiet_signals, QUIET_SECONDS, sent, healthy)
        before = max(subscriber.p99() for subscriber in healthy)

        stalled = Subscriber(SignalServiceStub(own_channel), sent)
        await stalled.read(len(sent))
        async with _rss_growth(server) as growth:
            await _publish_and_read(stub, model_id, STALLED_SIGNALS, STALLED_SECONDS, sent, healthy)
        after = max(subscriber.p99() for subscriber in healthy)
        await stalled.read(len(sent))
    log = await the_log(database)
    check_log(log)
    for subscriber in (stalled, *healthy):
        check_delivery(subscriber.entries, log)
    assert stalled.fell_behind
    # A blocked subscriber waits for seconds; a machine with other work to do, for some dozen milliseconds.
    assert after < 3 * before + 0.2
    assert max(growth) < RSS_ALLOWANCE


async def _publish_and_read(
    stub: SignalServiceAsyncStub,
    model_id: str,
    count: int,
    seconds: float,
    sent: dict[str, float],
    subscribers: Sequence[Subscriber],
) -> None:
    """Publishes evenly over the seconds, while the subscribers read all of it."""
    start, due = time.monotonic(), len(sent) + count
    async with asyncio.TaskGroup() as reading:
        for subscriber in subscribers:
            reading.create_task(subscriber.read(due))
        for number in range(count // REQUEST):
            signals = [a_signal(model_id, metadata=METADATA) for _ in range(REQUEST)]
            await asyncio.sleep(start + number * REQUEST / count * seconds - time.monotonic())
            sent |= {signal.signal_id: time.monotonic() for signal in signals}
            await stub.PublishSignals(pb.PublishSignalsRequest(signals=signals), timeout=10)


@asynccontextmanager
async def _rss_growth(server: ServerProcess) -> AsyncIterator[list[int]]:
    """By how much the process has grown, again and again."""
    process = psutil.Process(server.pid)
    before = process.memory_info().rss
    growth = [0]

    async def measure() -> None:
        while True:
            growth.append(process.memory_info().rss - before)
            await asyncio.sleep(0.2)

    measuring = asyncio.create_task(measure())
    try:
        yield growth
    finally:
        measuring.cancel()
