"""The whole schema, as the migrations make it: `python -m tests.schema` writes it to sql/schema.sql."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Final

from ai_grpc import dsn, migrations
from ai_grpc.postgres import binaries
from tests.cluster import Cluster

FILE: Final = Path(__file__).parents[1] / "sql" / "schema.sql"
HEADER: Final = "-- The whole schema, written by `python -m tests.schema` out of the migrations. Not to be edited.\n\n"

# What differs from server to server, and what says the same again: versions, settings, and a title above each object.
NOISE: Final = re.compile(
    r"^--\n(?:-- .*\n)+--\n|^-- Dumped .*\n|^SET .*\n|^SELECT pg_catalog\.set_config.*\n|^\\(?:un)?restrict .*\n"
    # A number that Debian's 15.18 gives to each column.
    r"|^ALTER TABLE ONLY .* SET \(pg_attver=\d+\);\n",
    re.MULTILINE,
)


# PostgreSQL 18 names what is not null in a partition as in its table.
NAMES: Final = re.compile(r" CONSTRAINT \w+_not_null NOT NULL")


def dump(database: str) -> str:
    """The schema of a migrated database, the same whatever PostgreSQL from 15 to 18 it is in."""
    target = dsn.dbmate_environment(dsn.normalise(database))
    result = subprocess.run(
        [
            binaries() / "pg_dump",
            "--schema-only",
            "--schema=ai_trading",
            "--no-owner",
            "--dbname",
            target["DATABASE_URL"],
        ],
        env={**os.environ, **target},
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    text = NAMES.sub(" NOT NULL", NOISE.sub("", result.stdout))
    return HEADER + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


if __name__ == "__main__":
    with Cluster() as server:
        migrations.up(server.url())
        FILE.write_text(dump(server.url()))
