"""Keyset pages: a list goes on after the time and id, the score and id, the number, or the id, of the last row."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final, Generic, Literal, NamedTuple, Protocol, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from ai_grpc.errors import InvalidArgument, Violation

DEFAULT_SIZE: Final = 50
MAX_SIZE: Final = 1000
MAX_BYTES: Final = 3 * 1024 * 1024
MAX_NUMBER: Final = 2**31 - 1
# So many rows are read before it is known how large they are.
FIRST_ROWS: Final = 8

M = TypeVar("M", bound=Message)
Order = Literal["time", "score", "number", "id"]


class PagedRequest(Protocol):
    """A List request, as AIP-158 has it."""

    page_size: int
    page_token: str


class Page(NamedTuple):
    """How many rows, and after which one."""

    size: int
    after_time: datetime | None = None
    after_id: str | None = None
    after_number: int | None = None
    after_score: float | None = None


def page_of(request: PagedRequest, order: Order) -> Page:
    """The page that a List request asks for. Raises InvalidArgument, also for the token of a list in another order."""
    if request.page_size < 0:
        raise InvalidArgument(Violation("page_size", "must not be negative"))
    size = min(request.page_size or DEFAULT_SIZE, MAX_SIZE)
    if not request.page_token:
        return Page(size)
    try:
        return AFTER[order](size, base64.urlsafe_b64decode(request.page_token).decode("ascii"))
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument(Violation("page_token", "is not one that this list gave")) from error


def _after_number(size: int, token: str) -> Page:
    number = int(token)
    if not 0 <= number <= MAX_NUMBER or str(number) != token:
        raise ValueError(token)
    return Page(size, after_number=number)


def _after_time(size: int, token: str) -> Page:
    text, _, last_id = token.partition(" ")
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(token)
    return Page(size, time, str(UUID(last_id)))


def _after_score(size: int, token: str) -> Page:
    score, _, last_id = token.partition(" ")
    if repr(float(score)) != score or not math.isfinite(float(score)):
        raise ValueError(token)
    return Page(size, after_score=float(score), after_id=str(UUID(last_id)))


def _after_id(size: int, token: str) -> Page:
    if str(UUID(token)) != token:
        raise ValueError(token)
    return Page(size, after_id=token)


AFTER: Final[dict[Order, Callable[[int, str], Page]]] = {
    "time": _after_time,
    "score": _after_score,
    "number": _after_number,
    "id": _after_id,
}


def fitting(messages: Iterable[M]) -> list[M]:
    """The first of the messages, ending early rather than outgrow what clients receive by default."""
    taken: list[M] = []
    size = 0
    for message in messages:
        size += message.ByteSize()
        if taken and size > MAX_BYTES:
            break
        taken.append(message)
    return taken


class Filling(Generic[M]):
    """A page that takes rows, and the token of the next; empty if it took them all.

    The query is asked for one row more than the page holds, and its rows have the columns `page_time` and `page_id`,
    `page_score` and `page_id`, `page_number`, or `page_id`. A page ends early rather than outgrow what clients receive
    by default.
    """

    def __init__(self, page: Page, message_of: Callable[[Any], M]) -> None:
        self._page, self._message_of = page, message_of
        self._size, self._last = 0, dict[str, Any]()
        self.messages: list[M] = []
        self.token = ""

    @property
    def expected(self) -> int:
        """How many rows to read next: all that are asked for, unless those taken are so large that fewer fill it."""
        taken = len(self.messages)
        if not taken:
            return FIRST_ROWS
        room = (MAX_BYTES - self._size) * taken // max(self._size, 1)
        return min(self._page.size - taken, max(room, 0)) + 1

    def take(self, row: Any) -> bool:
        """Takes the row unless the page is full."""
        message = self._message_of(row)
        self._size += message.ByteSize()
        if len(self.messages) == self._page.size or (self.messages and self._size > MAX_BYTES):
            self.token = base64.urlsafe_b64encode(_place(self._last).encode()).decode()
            return False
        self.messages.append(message)
        self._last = row
        return True


def _place(row: Any) -> str:
    if "page_number" in row:
        return str(row["page_number"])
    if "page_score" in row:
        return f"{row['page_score']!r} {row['page_id']}"
    if "page_time" in row:
        return f"{row['page_time'].isoformat()} {row['page_id']}"
    return str(row["page_id"])
