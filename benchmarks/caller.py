"""A process of callers: `python -m benchmarks.caller TARGET MODEL_ID IN_FLIGHT`.

For each line that it reads, a number of seconds, it publishes one signal a unary call for so long, and says how many
calls a second were answered, and how many in all.
"""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop

from ai_grpc.client import connect
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from benchmarks.latency import unary_call
from benchmarks.load import load


async def main(target: str, model_id: str, in_flight: int) -> None:
    """Answers each line."""
    loop = asyncio.get_running_loop()
    async with connect(target) as channel:
        call = unary_call(SignalServiceStub(channel), model_id)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            result = await load(call, in_flight, float(line))
            print(json.dumps({"rate": result.rate, "count": result.calls}), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
