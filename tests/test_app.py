"""What stops the service."""

from __future__ import annotations

import asyncio

import pytest

from ai_grpc.exchange.log import LogBroken
from tests.signals import a_signal, an_active_model, an_exchange, execute, publish


async def test_a_log_that_lost_events_stops_the_service_and_is_said_at_once(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []
    with pytest.raises(LogBroken, match=r"^the log (went back from 1 to 0|has a hole between 0 and 1)"):
        await _serve_a_log_that_loses_events(database, caplog, said)
    # When the loop broke, not after the drain.
    assert "Tail broke; the process stops" in said[0]


async def _serve_a_log_that_loses_events(database: str, caplog: pytest.LogCaptureFixture, said: list[str]) -> None:
    async with an_exchange(database, poll_interval=0.05) as channel:
        await publish(channel, a_signal(await an_active_model(channel)))
        await execute(database, "DELETE FROM signal_log")
        try:
            await asyncio.Event().wait()
        finally:
            said.append(caplog.text)
