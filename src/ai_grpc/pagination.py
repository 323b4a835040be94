"""Keyset pages: a list goes on after the time and id, the score and id, the number, or the id, of the last row."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from datetime import datetime, timedelta
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
    """How many rows of which list, and after which one."""

    size: int
    of: str = ""
    after_time: datetime | None = None
    after_id: str | None = None
    after_number: int | None = None
    after_score: float | None = None


def page_of(request: PagedRequest, of: str, order: Order) -> Page:
    """The page that a List request asks for, `of` the list of this name. Raises InvalidArgument, also for the token of
    another list."""
    if request.page_size < 0:
        raise InvalidArgument(Violation("page_size", "must not be negative"))
    size = min(request.page_size or DEFAULT_SIZE, MAX_SIZE)
    if not request.page_token:
        return Page(size, of)
    try:
        name, _, place = base64.urlsafe_b64decode(request.page_token).decode("ascii").partition(" ")
        if name != of:
            raise ValueError(name)
        return Page(size, of)._replace(**AFTER[order](place))
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument(Violation("page_token", "is not one that this list gave")) from error


def _after_number(place: str) -> dict[str, Any]:
    number = int(place)
    if not 0 <= number <= MAX_NUMBER or str(number) != place:
        raise ValueError(place)
    return {"after_number": number}


def _after_time(place: str) -> dict[str, Any]:
    text, _, last_id = place.partition(" ")
    time = datetime.fromisoformat(text)
    if time.isoformat() != text or time.utcoffset() != timedelta():
        raise ValueError(place)
    return {"after_time": time, **_after_id(last_id)}


def _after_score(place: str) -> dict[str, Any]:
    text, _, last_id = place.partition(" ")
    score = float(text)
    if repr(score) != text or not math.isfinite(score):
        raise ValueError(place)
    return {"after_score": score, **_after_id(last_id)}


def _after_id(place: str) -> dict[str, Any]:
    if str(UUID(place)) != place:
        raise ValueError(place)
    return {"after_id": place}


AFTER: Final[dict[Order, Callable[[str], dict[str, Any]]]] = {
    "time": _after_time,
    "score": _after_score,
    "number": _after_number,
    "id": _after_id,
}


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
            self.token = base64.urlsafe_b64encode(f"{self._page.of} {_place(self._last)}".encode()).decode()
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
