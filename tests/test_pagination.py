"""Pages: how many rows, and after which."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from hypothesis import given
from hypothesis import strategies as st

from ai_grpc.errors import InvalidArgument
from ai_grpc.pagination import MAX_BYTES, Filling, Page, page_of
from ai_grpc.v1.models_pb2 import ListModelsRequest

ID = str(uuid.uuid4())
TIME = datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)


@pytest.mark.parametrize(("asked", "given_"), [(0, 50), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)])
def test_a_page_has_the_size_asked_for_within_bounds(asked: int, given_: int) -> None:
    assert page_of(ListModelsRequest(page_size=asked), "models", "time") == Page(given_, "models")


def test_a_negative_size_is_refused() -> None:
    assert fields_of(ListModelsRequest(page_size=-1)) == ["page_size"]


@given(st.datetimes(timezones=st.just(UTC)), st.uuids(), st.integers(1, 5))
def test_the_next_page_begins_after_the_last_row(time: datetime, last_id: uuid.UUID, size: int) -> None:
    rows = [row(time=time, page_id=last_id) for _ in range(size + 1)]
    messages, token = paged(rows, Page(size, "models"), message_of)
    assert len(messages) == size
    page = page_of(ListModelsRequest(page_size=size, page_token=token), "models", "time")
    assert (page.after_time, page.after_id) == (time, str(last_id))


@given(st.integers(0, 2**31 - 1), st.integers(1, 5))
def test_the_next_page_of_numbered_rows_begins_after_the_last_number(number: int, size: int) -> None:
    rows = [{"page_number": number, "text": ""} for _ in range(size + 1)]
    messages, token = paged(rows, Page(size, "models"), message_of)
    assert len(messages) == size
    page = page_of(ListModelsRequest(page_size=size, page_token=token), "models", "number")
    assert page == Page(size, "models", after_number=number)


def test_a_token_is_of_use_to_lists_of_its_order_only() -> None:
    texts = {"time": f"{TIME.isoformat()} {ID}", "score": f"-0.5 {ID}", "number": "7", "id": ID}
    for order, text in texts.items():
        for other in texts:
            request = ListModelsRequest(page_token=token_of(text))
            if order == other:
                assert page_of(request, "models", cast(Any, order)) != Page(50, "models")
            else:
                assert fields_of(request, other) == ["page_token"]


@pytest.mark.parametrize("text", ["2026-01-02", "2026-01-02T03:04:05", "20260102T030405Z", "0001-01-01T00:00:00+23:59"])
def test_a_time_that_no_list_gave_is_refused(text: str) -> None:
    assert fields_of(ListModelsRequest(page_token=token_of(f"{text} {ID}"))) == ["page_token"]


def test_the_token_of_another_list_is_refused() -> None:
    _, token = paged([row(), row()], Page(1, "sessions"), message_of)
    assert fields_of(ListModelsRequest(page_token=token)) == ["page_token"]


@pytest.mark.parametrize("score", ["", "nan", "inf", "1", "1e5", "0x1", "+1.0", "T"])
def test_a_score_that_no_list_gave_is_refused(score: str) -> None:
    assert fields_of(ListModelsRequest(page_token=token_of(f"{score} {ID}")), "score") == ["page_token"]


@pytest.mark.parametrize("text", ["", "-1", "+1", "01", " 1", "1 ", "1_0", "1.0", "x", str(2**31), "9" * 5000])
def test_a_number_that_no_list_gave_is_refused(text: str) -> None:
    assert fields_of(ListModelsRequest(page_token=token_of(text) or "="), order="number") == ["page_token"]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_last_page_has_no_token(count: int) -> None:
    messages, token = paged([row() for _ in range(count)], Page(3), message_of)
    assert (len(messages), token) == (count, "")


def test_a_page_ends_before_it_is_too_large_for_a_client() -> None:
    half, rest = "x" * (MAX_BYTES // 2), "x" * (MAX_BYTES * 2)
    rows = [row(rest), row(half), row(half), row()]
    sizes = []
    while rows:
        messages, token = paged(rows[:4], Page(3), message_of)
        sizes.append(len(messages))
        rows = rows[len(messages) :]
        assert bool(token) is bool(rows)
    # A row that is too large on its own has a page of its own.
    assert sizes[0] == 1
    assert sum(sizes) == 4


@pytest.mark.parametrize(
    ("size", "steps"), [(0, [8, 43]), (MAX_BYTES // 50, [8, 42]), (MAX_BYTES // 10, [8, 2]), (2 * MAX_BYTES, [8])]
)
def test_rows_are_read_in_few_steps_and_hardly_more_than_fit(size: int, steps: list[int]) -> None:
    filling, read = Filling(Page(50), message_of), []
    while not filling.token and len(filling.messages) < 50:
        read.append(filling.expected)
        all(map(filling.take, [row("x" * size)] * read[-1]))
    assert read == steps


@given(
    st.text()
    | st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode())
    | st.tuples(st.text(), st.text()).map(lambda parts: base64.urlsafe_b64encode(" ".join(parts).encode()).decode())
)
def test_a_token_of_somebody_else_is_refused(token: str) -> None:
    assert not token or fields_of(ListModelsRequest(page_token=token), "time") == ["page_token"]


def paged(rows: Iterable[Any], page: Page, message_of: Callable[[Any], Any]) -> tuple[list[Any], str]:
    """The messages of a page that is given rows until it is full, and the token of the next."""
    filling = Filling(page, message_of)
    all(map(filling.take, rows))
    return filling.messages, filling.token


def token_of(text: str) -> str:
    """Such a token as a page of the models has."""
    return base64.urlsafe_b64encode(f"models {text}".encode()).decode()


def fields_of(request: ListModelsRequest, order: Any = "time") -> list[str]:
    with pytest.raises(InvalidArgument) as refused:
        page_of(request, "models", order)
    return [violation.field for violation in refused.value.violations]


def row(text: str = "", time: datetime = TIME, page_id: uuid.UUID | str = ID) -> dict[str, Any]:
    return {"page_time": time, "page_id": page_id, "text": text}


def message_of(columns: dict[str, Any]) -> StringValue:
    return StringValue(value=columns["text"])
