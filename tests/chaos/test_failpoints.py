"""A replica dies where it is told to, and what it leaves behind is what that place leaves."""

from __future__ import annotations

import signal
from pathlib import Path

import grpc
import pytest

from tests.anomalies import an_anomaly, report
from tests.chaos.drill import a_replica
from tests.chaos.failpoints import FAILPOINTS
from tests.faults.database import administrator, until
from tests.signals import a_signal, an_active_model, publish

COUNT = "SELECT (SELECT count(*) FROM ai_trading.signal_log) + (SELECT count(*) FROM ai_trading.event_log)"
# How many signals or anomalies are in the logs that were not acknowledged.
LEFT_BEHIND = {
    "before_send": 0,
    "after_send": 1,
    "after_commit": 1,
    "after_ack": 0,
    "before_report": 0,
    "after_report": 1,
}


@pytest.mark.parametrize("failpoint", FAILPOINTS)
async def test_replica_dies_at_its_failpoint(database: str, tmp_path: Path, failpoint: str) -> None:
    replica = a_replica(database, tmp_path / "log", {"CHAOS_FAILPOINT": f"{failpoint}:3"})
    await replica.start()
    try:
        async with grpc.aio.insecure_channel(replica.target) as channel:
            acknowledged = await _write_until_it_dies(channel, reports=failpoint.endswith("report"))
        assert replica.process is not None
        assert await replica.process.wait() == -signal.SIGKILL
    finally:
        await replica.kill()
    assert acknowledged >= 2
    async with administrator(database) as admin:
        await until(admin, COUNT, acknowledged + LEFT_BEHIND[failpoint])


async def _write_until_it_dies(channel: grpc.aio.Channel, *, reports: bool) -> int:
    """How many signals or anomalies were acknowledged, one after the other."""
    model_id = await an_active_model(channel)
    for acknowledged in range(100):
        try:
            await (report(channel, an_anomaly(model_id)) if reports else publish(channel, a_signal(model_id)))
        except grpc.aio.AioRpcError:
            return acknowledged
    raise AssertionError("it lives")


def test_every_failpoint_has_a_test() -> None:
    assert FAILPOINTS.keys() == LEFT_BEHIND.keys()
