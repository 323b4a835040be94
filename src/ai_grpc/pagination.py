"""Keyset pages: a list goes on after the time and id, the score and id, or the number, of the last row."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from ai_grpc.errors import InvalidArgument, Violation

DEFAULT_SIZE: Final = 50
MAX_SIZE: Final = 1000
MAX_BYTES: Final = 3 * 1024 * 1024
MAX_NUMBER: Final = 2**31 - 1

M = TypeVar("M", bound=Message)


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


def page_of(request: PagedRequest, *, numbered: bool = False) -> Page:
    """The page that a List request asks for, of rows in the order of their time, or else numbered. Raises
    InvalidArgument."""
    if request.page_size < 0:
        raise InvalidArgument(Violation("page_size", "must not be negative"))
    size = min(request.page_size or DEFAULT_SIZE, MAX_SIZE)
    if not request.page_token:
        return Page(size)
    try:
        token = base64.urlsafe_b64decode(request.page_token).decode("ascii")
        return _after_number(size, token) if numbered else _after_time(size, token)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument(Violation("page_token", "is not one that this list gave")) from error


def _after_number(size: int, token: str) -> Page:
    number = int(token)
    if not 0 <= number <= MAX_NUMBER or str(number) != token:
        raise ValueError(token)
    return Page(size, after_number=number)


def _after_time(size: int, token: str) -> Page:
    place, _, last_id = token.partition(" ")
    after_id = str(UUID(last_id))
    if "T" in place:
        return Page(size, datetime.fromisoformat(place), after_id)
    return Page(size, after_id=after_id, after_score=float(place))


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


def paged(rows: Sequence[Any], page: Page, message_of: Callable[[Any], M]) -> tuple[list[M], str]:
    """The messages of a page, and the token of the next; empty if there is none.

    The query is asked for one row more than the page holds, and its rows have the columns `page_time` and `page_id`,
    `page_score` and `page_id`, or `page_number`. A page ends early rather than outgrow what clients receive by default.
    """
    messages = fitting(message_of(row) for row in rows[: page.size])
    if len(messages) == len(rows):
        return messages, ""
    return messages, base64.urlsafe_b64encode(_place(rows[len(messages) - 1]).encode()).decode()


def _place(row: Any) -> str:
    if "page_number" in row:
        return str(row["page_number"])
    if "page_score" in row:
        return f"{row['page_score']!r} {row['page_id']}"
    return f"{row['page_time'].isoformat()} {row['page_id']}"
