"""Positions at the edges of the log, and beyond them, asked for all at once."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Final

from grpc import aio

from ai_grpc.v1 import streams_pb2
from tests.chaos.history import Probe
from tests.chaos.nouns import Noun
from tests.chaos.probes import answer, refusal_in

ANSWER_SECONDS: Final = 10.0
KNOWN_SECONDS: Final = 10.0
LOOK_AGAIN: Final = 0.05


async def ask(target: str, noun: Noun, epoch: str, floor: int, head: int) -> list[Probe]:
    """What a replica says to each of them."""
    table = [
        ("the floor", streams_pb2.Position(epoch=epoch, sequence=floor), ""),
        ("the head", streams_pb2.Position(epoch=epoch, sequence=head), ""),
        ("the one before the floor", streams_pb2.Position(epoch=epoch, sequence=floor - 1), "POSITION_EXPIRED"),
        ("one beyond the head", streams_pb2.Position(epoch=epoch, sequence=head + 1), "POSITION_AHEAD"),
        ("another epoch", streams_pb2.Position(epoch=str(uuid.UUID(int=0)), sequence=head), "EPOCH_MISMATCH"),
    ]
    async with aio.insecure_channel(target) as channel:
        await _until_known(channel, noun, floor)
        answers = await asyncio.gather(
            *(answer(channel, noun, ANSWER_SECONDS, after=position) for _, position, _ in table)
        )
    return [
        Probe(target, name, expected, refusal_in(first))
        for (name, _, expected), first in zip(table, answers, strict=True)
    ]


async def _until_known(channel: aio.Channel, noun: Noun, floor: int) -> None:
    """The replica learns of the floor by its next poll; of one that does not, the answers say so."""
    end = time.monotonic() + KNOWN_SECONDS
    while time.monotonic() < end:
        first = await answer(channel, noun, latest=streams_pb2.Latest())
        if not refusal_in(first) and first.started.floor == floor:
            return
        await asyncio.sleep(LOOK_AGAIN)
