"""Keyset pages: a list goes on after the time and id of the last row."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from ai_grpc.errors import InvalidArgument, Violation

DEFAULT_SIZE = 50
MAX_SIZE = 1000


class PagedRequest(Protocol):
    """A List request, as AIP-158 has it."""

    page_size: int
    page_token: str


class Page(NamedTuple):
    """How many rows, and after which one."""

    size: int
    after_time: datetime | None
    after_id: str | None


def page_of(request: PagedRequest) -> Page:
    """The page that a List request asks for. Raises InvalidArgument."""
    if request.page_size < 0:
        raise InvalidArgument(Violation("page_size", "must not be negative"))
    size = min(request.page_size or DEFAULT_SIZE, MAX_SIZE)
    if not request.page_token:
        return Page(size, None, None)
    try:
        time, _, last_id = base64.urlsafe_b64decode(request.page_token).decode("ascii").partition(" ")
        return Page(size, datetime.fromisoformat(time), str(UUID(last_id)))
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument(Violation("page_token", "is not one that this service gave")) from error


def next_token(rows: Sequence[Any], page: Page) -> str:
    """The token of the next page; empty if there is none. The query is asked for one row more than the page holds, and
    its rows have the columns `page_time` and `page_id`."""
    if len(rows) <= page.size:
        return ""
    last = rows[page.size - 1]
    return base64.urlsafe_b64encode(f"{last['page_time'].isoformat()} {last['page_id']}".encode()).decode()
