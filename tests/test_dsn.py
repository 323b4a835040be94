"""Database URLs of other tools."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from ai_grpc import dsn
from ai_grpc.errors import ConfigurationError
from tests.conftest import at

SECRET = "s3cr€t"


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("postgres://u:p@h/d", "postgresql://u:p@h:5432/d"),
        ("postgresql://u:p@h:6543/d", "postgresql://u:p@h:6543/d"),
        ("postgresql+asyncpg://u:p@h/d", "postgresql://u:p@h:5432/d"),
        ("postgresql+psycopg2://u:p@/d?host=h&port=6543", "postgresql://u:p@h:6543/d"),
        ("POSTGRES://u@h/d", "postgresql://u@h:5432/d"),
        (" 'postgres://u:p@h/d'\n", "postgresql://u:p@h:5432/d"),
        ("postgres://u:p@[::1]:6543/d", "postgresql://u:p@[::1]:6543/d"),
        ("postgres://u:p@h1:1,h2:2/d", "postgresql://u:p@h1:1,h2:2/d"),
        ("postgres://?host=h&user=u&password=p&dbname=d", "postgresql://u:p@h:5432/d"),
        ("postgres://u@/d?host=/run/postgresql", "postgresql://u@/d?host=/run/postgresql&port=5432"),
        ("postgres://u@%2Frun%2Fpostgresql:6543/d", "postgresql://u@/d?host=/run/postgresql&port=6543"),
    ],
)
def test_every_way_to_write_a_url_becomes_one(url: str, normal: str) -> None:
    assert dsn.normalise(url) == normal
    assert dsn.normalise(normal) == normal


@pytest.mark.parametrize("password", ["p#w", "p@w", "p/w", "p?w", "1?2", "p:w", "p&w=1", "p%zw", "p ä", "[p]", "@:/?#"])
def test_password_may_stand_unescaped(password: str) -> None:
    assert dsn.normalise(f"postgres://u:{password}@h:1/d?sslmode=require") == dsn.normalise(
        f"postgresql://h:1/d?user=u&password={quote(password, '')}&sslmode=require"
    )


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("schema=public&pgbouncer=true&connection_limit=5&connect_timeout=10&channel_binding=require", ""),
        ("sslmode=verify-full&sslrootcert={file}", "?sslmode=verify-full&sslrootcert={file}"),
        ("ssl=true", "?sslmode=require"),
        ("ssl=require", "?sslmode=require"),
        ("ssl=false", "?sslmode=disable"),
        ("options=endpoint%3Dx", "?options=endpoint%3Dx"),
        ("target_session_attrs=read-write", "?target_session_attrs=read-write"),
    ],
)
def test_only_parameters_with_a_meaning_stay(query: str, kept: str) -> None:
    file = Path(__file__)
    assert (
        dsn.normalise(f"postgres://h/d?{query.format(file=file)}") == f"postgresql://h:5432/d{kept.format(file=file)}"
    )


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        (f"mysql://u:{SECRET}@h/d", "is not readable"),
        (f"u:{SECRET}@h/d", "is not readable"),
        (f"postgres://u:{SECRET}@h:port/d", "is not readable"),
        (f"postgres://u:{SECRET}@h:65536/d", "the port"),
        (f"postgres://u:{SECRET}@h1,h2/d?port=1,2,3", "number of ports"),
        (f"postgres://u:{SECRET}@h/d?sslmode=required", "sslmode"),
        (f"postgres://u:{SECRET}@h/d?sslrootcert=/none", "sslrootcert"),
    ],
)
def test_bad_url_is_refused_in_one_line_without_its_password(url: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as refusal:
        dsn.normalise(url)
    assert "\n" not in str(refusal.value)
    assert SECRET not in str(refusal.value) + dsn.redacted(url)


@pytest.mark.parametrize(
    "url",
    [f"postgres://u:{SECRET}@h:1/d?sslmode=require", f"postgres://u@h:1/d?password={SECRET}", "postgres://u@h:1/d"],
)
def test_redacted_url_names_the_database_and_nothing_secret(url: str) -> None:
    assert dsn.redacted(url) == "postgresql://u@h:1/d"


def test_environment_of_libpq_makes_a_url() -> None:
    environment = {"PGHOST": "h", "PGPORT": "6543", "PGUSER": "u", "PGPASSWORD": "p @", "PGDATABASE": "d"}
    assert dsn.from_environment(environment) == "postgresql://u:p%20%40@h:6543/d"
    assert dsn.from_environment({"PGHOST": "/run/pg"}) == "postgresql://?host=/run/pg&port=5432"
    assert dsn.from_environment({"PGUSER": "u", "PGDATABASE": "d"}) is None


def test_dbmate_gets_the_password_apart_from_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGSSLMODE", raising=False)
    assert dsn.dbmate_environment(f"postgres://u:{SECRET}@h:6543/d") == {
        "DATABASE_URL": "postgresql://u@/d?host=h&port=6543&sslmode=prefer",
        "PGPASSWORD": SECRET,
    }
    assert dsn.dbmate_environment("postgres://u@h1,h2/d?sslmode=require") == {
        "DATABASE_URL": "postgresql://u@/d?host=h1,h2&port=5432&sslmode=require"
    }
    with pytest.raises(ConfigurationError, match="one port"):
        dsn.dbmate_environment("postgres://u@h1:1,h2:2/d")


async def test_postgresql_takes_what_is_left_of_a_url_full_of_parameters(postgres: str) -> None:
    parameters = "schema=public&pgbouncer=true&connect_timeout=5&options=-c%20work_mem%3D1MB&sslmode=prefer"
    url = at(postgres, "postgres").partition("?")[0]
    connection = await asyncpg.connect(dsn.normalise(f"{url}?{parameters}"))
    assert await connection.fetchval("SHOW work_mem") == "1MB"
    await connection.close()
