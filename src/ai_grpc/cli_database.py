"""The commands that look after the database. Heavy imports wait inside them, so that `--help` is quick."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

if TYPE_CHECKING:
    import asyncpg

    from ai_grpc.settings import Settings

T = TypeVar("T")

STATEMENT_SECONDS: Final = 3600
COLOURS: Final = {"good": "green", "doubtful": "yellow", "bad": "red"}
NEW_EPOCH: Final = """
WITH events AS (UPDATE ai_trading.event_log_meta SET epoch = gen_random_uuid())
UPDATE ai_trading.log_meta SET epoch = gen_random_uuid() RETURNING epoch
"""
TRIM_LOG: Final = """
SELECT ai_trading.trim_signal_log(ai_trading.signal_log_position(before)) + ai_trading.trim_event_log(before)
FROM (SELECT clock_timestamp() - make_interval(days => $1) AS before) AS age
"""

migrate = typer.Typer(help="Bring the schema of the database up to date, or take it back.", no_args_is_help=True)
db = typer.Typer(help="Look whether a database will do, and look after its log.", no_args_is_help=True)

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        show_default=False,
        help="The database, in the place of DATABASE_URL, of PGHOST and its companions, and of the embedded PostgreSQL."
        " Other users of this machine can read it here: a password is better kept in the environment or in .env.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def read_settings(**given: Any) -> Settings:
    """The settings of the environment and `.env`, and in their place those given on the command line."""
    from ai_grpc.settings import Settings

    return Settings(**{name: value for name, value in given.items() if value is not None})


@migrate.command(epilog="Example: DATABASE_URL=postgresql://owner@db.example/trading ai-grpc migrate up")
def up(database_url: DatabaseUrl = None) -> None:
    """Applies what is pending. Safe when several replicas do it at once."""
    from ai_grpc import migrations

    applied = _change(read_settings(database_url=database_url), migrations.up)
    print(*applied or ["nothing is pending"], sep="\n")


@migrate.command(epilog="Example: ai-grpc migrate down --yes")
def down(database_url: DatabaseUrl = None, yes: Yes = False) -> None:
    """Takes the last migration back, with all data that it made room for."""
    from ai_grpc import migrations

    _confirm("This drops tables with all that is in them.", yes)
    taken_back = _change(read_settings(database_url=database_url), migrations.down)
    print(*taken_back, sep="\n")


@migrate.command(epilog="Example: ai-grpc migrate status")
def status(database_url: DatabaseUrl = None) -> None:
    """Says which migrations are applied, pending, or unknown to this program. Exit status 1 unless all are applied."""
    from ai_grpc import migrations

    found = _ask(read_settings(database_url=database_url), migrations.status)
    for state, versions in (("applied", found.applied), ("pending", found.pending), ("unknown", found.unknown)):
        for version in versions:
            print(f"{state}  {version}")
    raise typer.Exit(1 if found.pending or found.unknown else 0)


@db.command(epilog="Example: ai-grpc db verify --database-url postgresql://service@db.example/trading")
def verify(database_url: DatabaseUrl = None) -> None:
    """Looks whether the service can work with the database. Exit status 1 if it cannot."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ai_grpc.verification import Verdict, findings

    settings = read_settings(database_url=database_url)
    found = _ask(settings, lambda connection: findings(connection, settings))
    table = Table(show_header=False)
    for finding in found:
        verdict = finding.verdict.value
        table.add_row(Text(verdict, style=COLOURS[verdict]), finding.subject, Text(finding.text))
    Console().print(table)
    raise typer.Exit(1 if any(finding.verdict is Verdict.BAD for finding in found) else 0)


@db.command(epilog="Example: ai-grpc db new-epoch --yes")
def new_epoch(database_url: DatabaseUrl = None, yes: Yes = False) -> None:
    """Begins a new history of both logs, after the database was restored from a backup.

    A subscriber that resumes a position of the old history is told so, and starts again.
    """
    _confirm("No subscriber will be able to resume where it was.", yes)
    epoch = _ask(read_settings(database_url=database_url), lambda connection: connection.fetchval(NEW_EPOCH))
    print(f"the epoch is {epoch}; restart every replica of the service")


@db.command(epilog="Example: ai-grpc db trim-log --keep-days 90")
def trim_log(
    keep_days: Annotated[int, typer.Option(min=0, max=36500, help="How many days of events stay.")],
    database_url: DatabaseUrl = None,
) -> None:
    """Removes old events from both logs, and raises their floors. What the events are about stays for ever."""
    count = _ask(read_settings(database_url=database_url), lambda connection: connection.fetchval(TRIM_LOG, keep_days))
    print(f"{count} events removed")


def _confirm(warning: str, yes: bool) -> None:
    if not yes:
        typer.confirm(f"{warning} Go on?", abort=True)


def _change(settings: Settings, change: Callable[[str], list[str]]) -> list[str]:
    from ai_grpc.embedded import database

    async def run() -> list[str]:
        async with database(settings, migrate_embedded=False) as dsn:
            return await asyncio.to_thread(change, dsn)

    return asyncio.run(run())


def _ask(settings: Settings, question: Callable[[asyncpg.Connection], Coroutine[Any, Any, T]]) -> T:
    import asyncpg

    from ai_grpc.embedded import database

    async def ask() -> T:
        # Somebody looks at this command: it says what is wrong at once.
        async with database(settings.model_copy(update={"database_wait": 0}), migrate_embedded=False) as dsn:
            connection = await asyncpg.connect(dsn, timeout=10, command_timeout=STATEMENT_SECONDS)
            try:
                return await question(connection)
            finally:
                await connection.close(timeout=10)

    return asyncio.run(ask())
