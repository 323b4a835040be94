"""The fast lane: a stream of publications, each answered by one message, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from google.rpc.code_pb2 import Code

from ai_grpc.errors import Error, Unavailable, draining
from ai_grpc.exchange.events import duration_of
from ai_grpc.exchange.feed import Feed
from ai_grpc.exchange.submission import Ack, Placed
from ai_grpc.exchange.writer import SignalWriter
from ai_grpc.v1 import errors_pb2
from ai_grpc.v1 import signals_pb2 as pb

WINDOW: Final = 64

Response = pb.PublishSignalStreamResponse


async def publish_stream(
    requests: AsyncIterator[pb.PublishSignalStreamRequest], writer: SignalWriter, feed: Feed
) -> AsyncIterator[Response]:
    """One response for each request, in order, with at most WINDOW requests unanswered."""
    # None marks the end of the requests.
    answers: asyncio.Queue[Ack | None] = asyncio.Queue(WINDOW)
    reader = asyncio.create_task(_submit_all(requests, writer, answers))
    # A draining server reads no more, answers what it has read, and says goodbye.
    writer.closing.add_done_callback(stop := lambda _: reader.cancel())
    try:
        while (ack := await answers.get()) is not None:
            yield await _response(ack, feed.epoch)
        await asyncio.wait([reader])
        if reader.cancelled():
            raise draining()
        reader.result()
    finally:
        writer.closing.remove_done_callback(stop)
        reader.cancel()
        while not answers.empty():
            # An answer that nobody takes any more is no fault of this process.
            if (ack := answers.get_nowait()) is not None and not ack.cancel() and not ack.cancelled():
                ack.exception()
        await asyncio.gather(reader, return_exceptions=True)


async def _submit_all(
    requests: AsyncIterator[pb.PublishSignalStreamRequest],
    writer: SignalWriter,
    answers: asyncio.Queue[Ack | None],
) -> None:
    try:
        async for request in requests:
            # A full queue or a draining server ends the stream: no later message may overtake this one.
            await answers.put(writer.submit(request.signals))
    finally:
        await answers.put(None)


async def _response(ack: Ack, epoch: str) -> Response:
    try:
        return Response(results=results(await ack), epoch=epoch)
    except Unavailable:
        raise
    except Error as error:
        # As in Submission.check: this frame holds the Ack, which holds the error.
        return Response(error=error_message(error.with_traceback(None)))


def results(placed: list[Placed]) -> list[pb.PublishResult]:
    """Where the signals of one request are, as messages."""
    return [pb.PublishResult(sequence=sequence, duplicate=duplicate) for sequence, duplicate in placed]


def error_message(error: Error) -> errors_pb2.Error:
    """An error that is part of an answer."""
    message = errors_pb2.Error(
        code=Code.Value(error.status),
        message=str(error),
        reason=error.reason,
        metadata=error.metadata,
        field_violations=[
            errors_pb2.FieldViolation(field=violation.field, description=violation.description)
            for violation in error.violations
        ],
    )
    if error.retry_delay is not None:
        message.retry_delay.CopyFrom(duration_of(error.retry_delay))
    return message
