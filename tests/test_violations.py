"""What the database refuses, in the words of its constraints: the field that is meant, and by which path."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg
import pytest

from ai_grpc.db import BAD_VALUE
from ai_grpc.errors import Error, InvalidArgument, NotFound
from ai_grpc.v1 import training_pb2 as pb
from ai_grpc.v1.periods_pb2 import Period
from ai_grpc.v1.signals_pb2 import GetSignalRequest, UpdateSignalStateRequest
from ai_grpc.violations import refused

ID: Final = str(uuid.uuid4())
TABLES: Final = f"""
CREATE TEMPORARY TABLE models (model_id UUID PRIMARY KEY);
CREATE TEMPORARY TABLE sessions (
  session_id     UUID PRIMARY KEY,
  model_id       UUID REFERENCES models,
  session_name   TEXT NOT NULL,
  episode_length INTEGER CONSTRAINT episode_length_is_not_negative CHECK (episode_length >= 0),
  start_date     DATE CONSTRAINT start_date_is_early CHECK (start_date < '2000-01-01'),
  value          NUMERIC(5, 2),
  CONSTRAINT session_name_is_short CHECK (length(session_name) < 5),
  CONSTRAINT nothing_is_wrong_here CHECK (session_name <> 'here')
);
INSERT INTO sessions (session_id, session_name) VALUES ('{ID}', 'one');
"""


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    """One that has tables to offend."""
    connection = await asyncpg.connect(database, timeout=10)
    await connection.execute(TABLES)
    yield connection
    await connection.close(timeout=10)


async def refusal_of(connection: asyncpg.Connection, message: Any, path: str = "", **columns: object) -> Error:
    """What is made of the refusal of a row."""
    row = {"session_id": str(uuid.uuid4()), "session_name": "two", **columns}
    values = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    with pytest.raises(BAD_VALUE) as refusal:
        await connection.execute(f"INSERT INTO sessions ({', '.join(row)}) VALUES ({values})", *row.values())
    return refused(refusal.value, message, path)


def said(error: Error) -> list[tuple[str, str]]:
    """The violations."""
    assert isinstance(error, InvalidArgument)
    return [(violation.field, violation.description) for violation in error.violations]


async def test_a_constraint_speaks_of_the_field_that_its_name_begins_with(connection: asyncpg.Connection) -> None:
    error = await refusal_of(connection, pb.TrainingSession(), session_name="three")
    assert said(error) == [("session_name", "must be short")]
    error = await refusal_of(connection, pb.Episode(), "requests[1].episodes[2].", episode_length=-1)
    assert said(error) == [("requests[1].episodes[2].episode_length", "must not be negative")]


async def test_a_field_within_a_field_is_found(connection: asyncpg.Connection) -> None:
    late = pb.TrainingSession(training_data_period=Period())
    row = "INSERT INTO sessions (session_id, session_name, start_date) VALUES (gen_random_uuid(), 'a', '2024-01-01')"
    with pytest.raises(asyncpg.CheckViolationError) as refusal:
        await connection.execute(row)
    assert said(refused(refusal.value, late, "session."))[0][0] == "session.training_data_period.start_date"


async def test_what_is_missing_is_required(connection: asyncpg.Connection) -> None:
    assert said(await refusal_of(connection, pb.TrainingSession(), session_name=None)) == [
        ("session_name", "is required")
    ]
    error = await refusal_of(connection, pb.TrainingSession(), "session.", session_id="")
    assert ("session.session_id", "is required") in said(error)


async def test_a_constraint_that_speaks_of_no_field_speaks_of_the_message(connection: asyncpg.Connection) -> None:
    error = await refusal_of(connection, pb.TrainingSession(), session_name="here")
    assert said(error) == [("request", "nothing is wrong here")]
    error = await refusal_of(connection, pb.TrainingSession(), "sessions[1].", session_name="here")
    assert said(error) == [("sessions[1]", "nothing is wrong here")]


async def test_what_a_row_refers_to_is_not_found(connection: asyncpg.Connection) -> None:
    error = await refusal_of(connection, pb.TrainingSession(), model_id=ID)
    assert isinstance(error, NotFound)
    assert (error.reason_name, error.metadata) == ("MODEL_NOT_FOUND", {"model_id": ID})


@pytest.mark.parametrize(
    ("columns", "fields", "expected"),
    [
        ({"session_id": "x"}, {"session_id": "x"}, [("session_id", "must be a UUID")]),
        ({"session_name": "\0"}, {"session_name": "\0"}, [("session_name", "holds a NUL character")]),
        ({"episode_length": 2**31}, {}, [("request", "holds a value that cannot be stored")]),
    ],
)
async def test_a_value_that_cannot_be_stored_is_named_if_it_is_known(
    connection: asyncpg.Connection, columns: dict[str, object], fields: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    session = pb.TrainingSession(**{"session_id": ID, "model_id": ID, **fields})  # type: ignore[arg-type]
    assert said(await refusal_of(connection, session, "", **columns)) == expected


async def test_a_text_that_is_no_number_is_named(connection: asyncpg.Connection) -> None:
    for text in ("x", "1,5", 'a"b'):
        with pytest.raises(asyncpg.DataError) as refusal:
            await connection.fetchval("SELECT $1::text::numeric", text)
        episode = pb.Episode(session_id=ID, final_portfolio_value=text)
        assert said(refused(refusal.value, episode)) == [("final_portfolio_value", f"cannot be {text!r}")]


def test_an_id_that_may_be_left_out_is_not_asked_for() -> None:
    error = asyncpg.DataError("invalid input")
    assert said(refused(error, UpdateSignalStateRequest(signal_id=ID))) == [
        ("request", "holds a value that cannot be stored")
    ]
    assert said(refused(error, GetSignalRequest())) == [("signal_id", "is required")]
