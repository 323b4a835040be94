"""A process that replays the log once: `python -m benchmarks.replayer TARGET EVENTS counted|sdk`.

It says how many seconds the events took from the opening of the stream, the connection being there.
"""

from __future__ import annotations

import json
import sys
import time

import uvloop

from ai_grpc.client import SignalSubscriber, connect
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2
from benchmarks.frames import sequences
from benchmarks.load import settle

METHOD = "/ai_grpc.v1.SignalService/SubscribeSignals"
LARGEST = 1000


async def counted(target: str, events: int) -> float:
    """Reads the messages as bytes, and of the events only the sequence."""
    async with connect(target) as channel:
        await channel.channel_ready()
        subscribe = channel.unary_stream(METHOD, pb.SubscribeSignalsRequest.SerializeToString, bytes)
        request = pb.SubscribeSignalsRequest(earliest=streams_pb2.Earliest(), max_batch_size=LARGEST)
        settle()
        started, last = time.perf_counter(), 0
        stream = subscribe(request)
        while last < events:
            message = await stream.read()
            assert isinstance(message, bytes), "the stream ended"
            if found := sequences(message):
                assert found == list(range(last + 1, last + 1 + len(found))), "an event is missing"
                last = found[-1]
        seconds = time.perf_counter() - started
        stream.cancel()
    return seconds


async def sdk(target: str, events: int) -> float:
    """Iterates over the SDK's subscriber."""
    settle()
    started, last = time.perf_counter(), 0
    async with SignalSubscriber(target, start="earliest", max_batch_size=LARGEST) as subscriber:
        async for event in subscriber:
            assert event.sequence == last + 1, "an event is missing"
            last = event.sequence
            if last == events:
                break
        return time.perf_counter() - started


async def main(target: str, events: int, way: str) -> None:
    """Replays once."""
    print(json.dumps(await (counted if way == "counted" else sdk)(target, events)), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
