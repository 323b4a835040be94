"""Three servers on one database: one order, for all who publish and all who follow."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc

from ai_grpc.v1 import signals_pb2 as pb
from tests.faults.bare import Follower, in_requests, publish_on_stream, publish_one_by_one, stubs_of
from tests.faults.database import administrator, head, until
from tests.faults.history import Ack, Entry, check_acks, check_delivery, check_log, check_real_time, the_log
from tests.load import SCALE, SCALED_SECONDS, SYMBOLS, scaled, some_signals
from tests.server import serving
from tests.signals import an_active_model, reason

if TYPE_CHECKING:
    from ai_grpc.v1.signals_pb2_grpc import SignalServiceAsyncStub

SIGNALS: Final = int(50_000 * SCALE)
PUBLISHERS: Final = 8
ENDED: Final = int(300 * SCALE)
# A ring that wraps many times, so that followers leave it and come back.
SETTINGS: Final = {"AI_GRPC_RING_EVENTS": "500", "AI_GRPC_SWEEP_INTERVAL": "0.2", "AI_GRPC_LOG_LEVEL": "WARNING"}
DUE: Final = "SELECT count(*) FROM ai_trading.ai_signals WHERE status = 'ACTIVE' AND expires_at IS NOT NULL"


@scaled
async def test_everybody_sees_one_order_of_everything_on_any_replica(database: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(serving(database, tmp_path / f"{number}.log", SETTINGS))
            for number in range(3)
        ]
        stubs = await stack.enter_async_context(stubs_of(servers))
        async with grpc.aio.insecure_channel(servers[0].target) as channel:
            model_ids = [await an_active_model(channel) for _ in range(3)]
        history: list[list[Ack]] = [[] for _ in range(PUBLISHERS)]
        ends: list[tuple[int, str, int]] = []
        filters = _filters(model_ids)
        followers = [Follower(stubs, wanted, patience=5000) for wanted in filters]
        end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(SCALED_SECONDS), asyncio.TaskGroup() as following:
            for follower in followers:
                following.create_task(follower.follow(end))
            async with asyncio.TaskGroup() as publishing:
                for number, acks in enumerate(history):
                    publishing.create_task(_publish(number, stubs, model_ids, acks))
                publishing.create_task(_end_some(stubs, history, ends))
            end.set_result(await _head_when_all_expired(database))
    log = await the_log(database)
    check_log(log)
    for follower, wanted in zip(followers, filters, strict=True):
        check_delivery(follower.entries, log, wanted)
    _check_publishers(history, log)
    for sequence, signal_id, kind in ends:
        assert log[sequence - 1][1:3] == (kind, signal_id)
    assert {entry.kind for entry in log} == {1, 2, 3, 4}


async def _publish(
    number: int, stubs: Sequence[SignalServiceAsyncStub], model_ids: Sequence[str], acks: list[Ack]
) -> None:
    signals = list(some_signals(model_ids, SIGNALS // PUBLISHERS))
    for signal in signals[::50]:
        now = time.time_ns() // 1000
        signal.signal_time.FromMicroseconds(now)
        signal.expire_time.FromMicroseconds(now + random.randrange(10**6, 10**7))
    if number % 2:
        await publish_on_stream(stubs[number % len(stubs)], in_requests(signals), acks)
    else:
        await publish_one_by_one(stubs, in_requests(signals), acks)


async def _end_some(
    stubs: Sequence[SignalServiceAsyncStub], history: Sequence[Sequence[Ack]], ends: list[tuple[int, str, int]]
) -> None:
    """Ends signals that were just acknowledged, on any replica."""
    while len(ends) < ENDED:
        acks = random.choice(history)
        if not acks:
            await asyncio.sleep(0.01)
            continue
        signal = random.choice(acks[-1].signals)
        state, kind = random.choice(
            [
                (pb.SIGNAL_STATE_EXECUTED, pb.SignalEvent.KIND_EXECUTED),
                (pb.SIGNAL_STATE_CANCELLED, pb.SignalEvent.KIND_CANCELLED),
            ]
        )
        request = pb.UpdateSignalStateRequest(signal_id=signal.signal_id, state=state)
        try:
            response = await random.choice(stubs).UpdateSignalState(request, timeout=30)
        except grpc.aio.AioRpcError as error:
            if reason(error) != "SIGNAL_NOT_ACTIVE":
                raise
        else:
            ends.append((response.position.sequence, signal.signal_id, kind))


async def _head_when_all_expired(database: str) -> int:
    async with administrator(database) as admin:
        await until(admin, DUE, 0)
        return await head(admin)


def _filters(model_ids: Sequence[str]) -> list[pb.SignalFilter]:
    ends = [pb.SignalEvent.KIND_EXECUTED, pb.SignalEvent.KIND_CANCELLED, pb.SignalEvent.KIND_EXPIRED]
    return [
        pb.SignalFilter(),
        pb.SignalFilter(symbols=SYMBOLS[:2]),
        pb.SignalFilter(model_ids=model_ids[:1], signal_types=[pb.SIGNAL_TYPE_BUY]),
        pb.SignalFilter(min_confidence=0.9),
        pb.SignalFilter(kinds=ends),
        pb.SignalFilter(symbols=SYMBOLS[2:], model_ids=model_ids[1:], min_confidence=0.99, kinds=ends),
    ]


def _check_publishers(history: Sequence[Sequence[Ack]], log: Sequence[Entry]) -> None:
    """Nothing refused, nothing lost, each request in one piece, and each publisher's in its order."""
    for acks in history:
        check_acks(acks, log)
        sequences = [sequence for ack in acks for sequence in ack.sequences]
        assert sequences == sorted(set(sequences))
        for ack in acks:
            assert ack.sequences[-1] - ack.sequences[0] == len(ack.sequences) - 1
    check_real_time(ack for acks in history for ack in acks)
    assert sum(len(ack.signals) for acks in history for ack in acks) == SIGNALS // PUBLISHERS * PUBLISHERS
