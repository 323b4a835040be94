"""What `ai-grpc publish` does: signals from stdin as JSON lines, and on stdout where they are."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import CancelledError
from typing import Final

from google.protobuf.json_format import Parse, ParseError
from rich.console import Console

from ai_grpc.client import Published, SignalPublisher
from ai_grpc.errors import Error
from ai_grpc.v1 import signals_pb2 as pb

CHUNK: Final = 64 * 1024
LONGEST_LINE: Final = 4 * 1024 * 1024
AHEAD: Final = 2000

Answer = asyncio.Future[Published]


async def publish_one(targets: Sequence[str], signal: pb.Signal, timeout: float) -> None:  # noqa: ASYNC109 - the publisher ends it
    """Publishes a signal and prints where it is."""
    async with SignalPublisher(targets) as publisher:
        _print(await publisher.publish(signal, timeout=timeout))


async def publish_lines(targets: Sequence[str], timeout: float) -> int:  # noqa: ASYNC109 - the publisher ends it
    """Publishes the signals on stdin, many at a time. Returns how many lines could not be."""
    answers: asyncio.Queue[tuple[int, Answer] | None] = asyncio.Queue(AHEAD)
    number = 0
    # One message at a time: the lines are in the log in their order, whichever of them are refused.
    async with SignalPublisher(targets, max_messages=1) as publisher:
        try:
            async with asyncio.TaskGroup() as group:
                report = group.create_task(_report(answers))
                async for line in _stdin_lines():
                    number += 1
                    if line.strip():
                        await answers.put((number, await _submit(publisher, line, timeout)))
                await answers.put(None)
        finally:
            while not answers.empty():
                if unread := answers.get_nowait():
                    unread[1].cancel()
    return report.result()


async def _submit(publisher: SignalPublisher, line: bytes, timeout: float) -> Answer:  # noqa: ASYNC109 - the publisher ends it
    try:
        return await publisher.submit(Parse(line, pb.Signal()), timeout=timeout)
    except (ParseError, ValueError, RecursionError, Error, TimeoutError) as error:
        answer: Answer = asyncio.get_running_loop().create_future()
        answer.set_exception(error)
        return answer


async def _report(answers: asyncio.Queue[tuple[int, Answer] | None]) -> int:
    """Prints the answers in the order of the lines. Returns how many were refusals."""
    published = refused = 0
    console = Console(stderr=True, quiet=sys.stdout.isatty() or not sys.stderr.isatty())
    with console.status("waiting for lines") as status:
        while (next_one := await answers.get()) is not None:
            number, answer = next_one
            try:
                _print(await answer, line=number)
                published += 1
            except (ParseError, ValueError, RecursionError, Error, TimeoutError) as error:
                refused += 1
                print(f"ai-grpc: line {number}: {' '.join(str(error).split())}", file=sys.stderr)
            if (published + refused) % 100 == 0:
                status.update(f"{published} published, {refused} refused")
    return refused


def _print(published: Published, **more: object) -> None:
    place = {"signal_id": published.signal_id, "sequence": published.sequence, "duplicate": published.duplicate}
    print(json.dumps({**more, **place}), flush=True)


async def _stdin_lines() -> AsyncIterator[bytes]:
    chunks: asyncio.Queue[bytes] = asyncio.Queue(4)
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            while chunk := os.read(sys.stdin.fileno(), CHUNK):
                asyncio.run_coroutine_threadsafe(chunks.put(chunk), loop).result()
            asyncio.run_coroutine_threadsafe(chunks.put(b""), loop).result()
        except (RuntimeError, CancelledError):
            return  # The loop is gone: nobody reads on.

    # Not in the executor of the loop, which would wait for the next line before it ends.
    threading.Thread(target=read, daemon=True).start()
    rest = b""
    while chunk := await chunks.get():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > LONGEST_LINE:
            yield rest
            rest = b""
    if rest:
        yield rest
