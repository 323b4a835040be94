"""Positions that must be refused by name, and their neighbours, which must not."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from grpc import aio

from ai_grpc.client.channel import connect
from ai_grpc.v1 import streams_pb2
from tests.chaos.history import Probe
from tests.chaos.nouns import Noun
from tests.chaos.recording import outcome_of

ANSWER_SECONDS: Final = 5.0
TRIES: Final = 3
FAR: Final = 1_000_000
WRONG_EPOCH: Final = "00000000-0000-4000-8000-000000000000"
SILENCE: Final = "silence"
TRANSIENT: Final = {"UNAVAILABLE", "DRAINING", "DATABASE_UNAVAILABLE", "INTERNAL", "CANCELLED"}


async def probe(replica: str, target: str, noun: Noun, *, quiet: bool) -> list[Probe]:
    """Tries them all on one stream of a replica. If it is not `quiet`, answers that a fault may have caused are left
    out."""
    probes: list[Probe] = []
    async with connect(target) as channel:
        for _ in range(TRIES):
            started = await answer(channel, noun, latest=streams_pb2.Latest())
            if isinstance(started, str):
                return [Probe(replica, "latest", "", started)] if quiet else []
            probes = await _probes(channel, noun, replica, started)
            again = await answer(channel, noun, latest=streams_pb2.Latest())
            # If it has learned of a new floor meanwhile, the answers are about two.
            if isinstance(again, str) or again.started.floor == started.started.floor:
                break
        else:
            return []
    return [each for each in probes if quiet or each.answer not in TRANSIENT | {SILENCE}]


async def _probes(channel: aio.Channel, noun: Noun, replica: str, started: Any) -> list[Probe]:
    probes = []
    for name, position, expected in _table(started.position.epoch, started.started.floor, started.started.head):
        probes.append(Probe(replica, name, expected, refusal_in(await answer(channel, noun, after=position))))
    probes.append(Probe(replica, "none", "INVALID_FIELD", refusal_in(await answer(channel, noun))))
    return probes


def _table(epoch: str, floor: int, head: int) -> list[tuple[str, streams_pb2.Position, str]]:
    def at(sequence: int, of: str = epoch) -> streams_pb2.Position:
        return streams_pb2.Position(epoch=of, sequence=sequence)

    accepted = [("floor", at(floor), ""), ("head", at(head), "")]
    if floor < head:
        accepted.append(("floor + 1", at(floor + 1), ""))
    return [
        *accepted,
        ("floor - 1", at(floor - 1), "POSITION_EXPIRED"),
        ("far below zero", at(-(2**63)), "POSITION_EXPIRED"),
        ("far ahead", at(head + FAR), "POSITION_AHEAD"),
        ("the highest number", at(2**63 - 1), "POSITION_AHEAD"),
        ("another epoch", at(floor, WRONG_EPOCH), "EPOCH_MISMATCH"),
        ("no epoch", at(floor, ""), "EPOCH_MISMATCH"),
        ("garbage for an epoch", at(floor, "'; --"), "EPOCH_MISMATCH"),
    ]


async def answer(channel: aio.Channel, noun: Noun, seconds: float = ANSWER_SECONDS, **start: Any) -> Any:
    """The first message, or why there is none."""
    call = noun.subscribe(channel)(noun.request(**start))
    try:
        async with asyncio.timeout(seconds):
            response = await call.read()
    except TimeoutError:
        return SILENCE
    except (aio.AioRpcError, aio.InternalError) as failure:
        return outcome_of(failure)[1]
    finally:
        call.cancel()
    return response if isinstance(response, noun.response) else "END"


def refusal_in(first: Any) -> str:
    """Nothing if the replica begins to serve, else why it does not."""
    return first if isinstance(first, str) else ""
