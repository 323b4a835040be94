"""The life of a session or a run: it begins, is heard of, may be asked to stop, and ends once."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast

from google.protobuf.message import Message

from ai_grpc.errors import Error, InvalidArgument, Violation, ended, missing
from ai_grpc.records import Records

M = TypeVar("M", bound=Message)


class Lifecycle(Generic[M]):
    """The lives of one kind of message with the fields `state` and `stop_requested`, each under its `key`.

    The queries are start_, get_, heartbeat_, stop_ and end_ with the `noun` behind. All methods raise NotFound.
    """

    def __init__(self, records: Records, kind: type[M], noun: str, key: str) -> None:
        self._records, self._kind, self._noun, self._key = records, kind, noun, key

    async def start(self, request: Message) -> tuple[M, bool]:
        """What begins, and whether it did before. Raises AlreadyExists."""
        duplicate = await self._records.create(f"start_{self._noun}", request, self._key)
        return await self.get(request), duplicate

    async def get(self, request: Message) -> M:
        """What there is under the key in the request."""
        return await self._records.one(self._kind, f"get_{self._noun}", request, self._key)

    async def heartbeat(self, request: Message) -> bool:
        """Notes that somebody lives, and returns whether he shall stop. Raises FailedPrecondition after the end."""
        row = await self._records.row(f"heartbeat_{self._noun}", request)
        if row is None:
            raise await self.ended(request)
        return bool(row["stop_requested"])

    async def request_stop(self, request: Message) -> M:
        """Asks for the end. Raises FailedPrecondition if nobody did before it came."""
        await self._records.row(f"stop_{self._noun}", request)
        one = await self.get(request)
        if not cast(Any, one).stop_requested:
            raise self._ended(one)
        return one

    async def complete(self, request: Any) -> M:
        """Ends it as completed, or as stopped if the request says so. Raises FailedPrecondition after another end."""
        return await self._end(request, "stopped" if request.stopped else "completed", error_message="")

    async def fail(self, request: Any, **given: Any) -> M:
        """Ends it as failed, with the error_message of the request. Raises as `complete` does, and InvalidArgument."""
        if not request.error_message:
            raise InvalidArgument(Violation("error_message", "is required"))
        return await self._end(request, "failed", **given)

    async def ended(self, request: Message) -> Error:
        """That it has ended, to be raised; or that it did not exist, if it began only now."""
        return self._ended(await self.get(request))

    async def _end(self, request: Message, status: str, **given: Any) -> M:
        """Ends what runs, or finds that it ended just so before."""
        row = await self._records.row(f"end_{self._noun}", request, status=status, **given)
        if row is None:
            raise await self.ended(request)
        return await self.get(request)

    def _ended(self, one: Any) -> Error:
        states = one.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number
        state = states[one.state].name.removeprefix(states[0].name.removesuffix("UNSPECIFIED"))
        if state == "RUNNING":
            return missing(self._key, getattr(one, self._key))
        return ended(self._key, getattr(one, self._key), state, one.error_message)
