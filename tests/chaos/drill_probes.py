"""Positions at the edges of the log, and beyond them, asked for all at once."""

from __future__ import annotations

import asyncio
import uuid
from typing import Final

from grpc import aio

from ai_grpc.v1 import streams_pb2
from tests.chaos.history import Probe
from tests.chaos.nouns import Noun
from tests.chaos.recording import outcome_of

ANSWER_SECONDS: Final = 3.0


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
        answers = await asyncio.gather(*(_answer(channel, noun, position) for _, position, _ in table))
    return [Probe(target, name, expected, answer) for (name, _, expected), answer in zip(table, answers, strict=True)]


async def _answer(channel: aio.Channel, noun: Noun, position: streams_pb2.Position) -> str:
    """Nothing if the replica begins to serve, else why it does not."""
    call = noun.subscribe(channel)(noun.request(after=position))
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await call.read()
    except TimeoutError:
        return "SILENCE"
    except (aio.AioRpcError, aio.InternalError) as failure:
        return outcome_of(failure)[1]
    finally:
        call.cancel()
    return ""
