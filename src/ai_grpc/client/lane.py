"""The lane that publications take: one stream at a time, a few messages in flight, all of them again when it breaks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final

from grpc import aio

from ai_grpc import errors
from ai_grpc.client.channel import Route
from ai_grpc.client.publication import Publication, Published, awaited, blame, next_message
from ai_grpc.client.status import FAILURES, error_of_call, error_of_message, may_be_repeated
from ai_grpc.v1 import errors_pb2
from ai_grpc.v1 import signals_pb2 as pb

LONGEST_SILENCE: Final = 15.0
_METHOD: Final = "/ai_grpc.v1.SignalService/PublishSignalStream"

_Call = aio.StreamStreamCall[bytes, pb.PublishSignalStreamResponse]


class Lane:
    """Sends publications in the order of `put`; `on_leave` is called for each one that left.

    There is no timer: a message carries what waits at the moment when it may go.
    """

    def __init__(self, route: Route, max_messages: int, on_leave: Callable[[], None]) -> None:
        self.trouble: errors.Error | None = None
        self._route, self._max_messages, self._on_leave = route, max_messages, on_leave
        self._waiting: deque[Publication] = deque()
        self._sent: deque[list[Publication]] = deque()
        self._awake = asyncio.Event()
        self._last_sign = 0.0
        self._closing = False

    def __iter__(self) -> Iterator[Publication]:
        return chain(chain.from_iterable(self._sent), self._waiting)

    def put(self, publication: Publication) -> None:
        """Sends the publication when those before it have been sent."""
        self._waiting.append(publication)
        self._awake.set()

    def sweep(self) -> None:
        """Lets those go that nobody waits for any more and that are not on their way."""
        self._waiting = awaited(self._waiting, self._on_leave)

    def close(self) -> None:
        """Lets `run` return when the server has answered what was sent and ended the stream."""
        self._closing = True
        self._awake.set()

    async def run(self) -> None:
        """Keeps a stream to the service, to one target after the other."""
        while not self._closing:
            channel = await self._route.connect()
            try:
                async with channel, asyncio.TaskGroup() as group:
                    call = channel.stream_stream(_METHOD, _encoded, pb.PublishSignalStreamResponse.FromString)()
                    group.create_task(self._send(call))
                    group.create_task(self._receive(call))
                    group.create_task(self._watch())
            except* errors.Error as broken:
                self._take_back(broken.exceptions[0])

    async def _send(self, call: _Call) -> None:
        try:
            while await self._may_send():
                # While the database writes one message, the next is made, sent and checked.
                if message := next_message(self._waiting, self._on_leave, self._max_messages - len(self._sent)):
                    if not self._sent:
                        self._last_sign = asyncio.get_running_loop().time()
                    self._sent.append(message)
                    await call.write(b"".join([publication.encoded for publication in message]))
            await call.done_writing()
        except (*FAILURES, asyncio.InvalidStateError):
            return  # The stream is over, and its reader says why.

    async def _may_send(self) -> bool:
        """Waits until there is something to send and room for it; False if there will be nothing more."""
        while not self._closing and (not self._waiting or len(self._sent) == self._max_messages):
            self._awake.clear()
            await self._awake.wait()
        return not self._closing

    async def _receive(self, call: _Call) -> None:
        try:
            while isinstance(response := await call.read(), pb.PublishSignalStreamResponse):
                if response.HasField("error"):
                    self._refuse(error_of_message(response.error))
                else:
                    self._accept(response)
                self._route.succeeded()
                self._last_sign = asyncio.get_running_loop().time()
                self._awake.set()
        except FAILURES as failure:
            raise error_of_call(failure) from None
        raise errors.Unavailable(errors_pb2.ERROR_REASON_UNSPECIFIED, "the server ended the stream")

    def _accept(self, response: pb.PublishSignalStreamResponse) -> None:
        epoch = response.epoch
        for sent, result in zip(self._sent.popleft(), response.results, strict=True):
            if not sent.answer.done():
                sent.answer.set_result(Published(sent.signal_id, result.sequence, result.duplicate, epoch))
            self._on_leave()

    def _refuse(self, error: errors.Error) -> None:
        """Tells those whose fault it is; the others go again, and by themselves if that does not help."""
        if may_be_repeated(error):
            raise error
        message = self._sent.popleft()
        blamed = blame(message, error) or ({0: error} if len(message) == 1 else {})
        again = []
        for index, publication in enumerate(message):
            if fault := blamed.get(index):
                publication.fail(fault)
                self._on_leave()
            else:
                publication.refusals += 1 if blamed else 2
                again.append(publication)
        self._waiting.extendleft(reversed(again))

    async def _watch(self) -> None:
        """Keepalive sees a connection that is dead, not a server that is."""
        while True:
            await asyncio.sleep(LONGEST_SILENCE / 4)
            if self._sent and asyncio.get_running_loop().time() - self._last_sign > LONGEST_SILENCE:
                raise errors.Unavailable(errors_pb2.ERROR_REASON_UNSPECIFIED, f"no answer for {LONGEST_SILENCE:g} s")

    def _take_back(self, error: BaseException) -> None:
        assert isinstance(error, errors.Error)
        for message in reversed(self._sent):
            self._waiting.extendleft(reversed(message))
        self._sent.clear()
        if not may_be_repeated(error):
            for publication in self._waiting:
                publication.fail(error)
        self.sweep()
        if not self._closing:
            self.trouble = error
            self._route.failed(error)


def _encoded(message: bytes) -> bytes:
    return message
