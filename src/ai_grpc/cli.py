"""The command line. Heavy imports wait inside the commands, so that `ai-grpc --help` is quick."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Final

import typer

from ai_grpc import cli_database, cli_signals, logs
from ai_grpc.cli_database import DatabaseUrl, read_settings
from ai_grpc.demo import demo
from ai_grpc.errors import ConfigurationError, Error

EXAMPLES: Final = """
Examples:

ai-grpc demo

ai-grpc serve --port 50051

ai-grpc migrate up && ai-grpc db verify

ai-grpc tail --help
"""

app = typer.Typer(
    name="ai-grpc",
    help="A durable, ordered, resumable exchange of trading signals.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on. [default: [::], all of them]")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port.", show_default="50051")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="How many processes serve on the port.", show_default="1")
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Serves the exchange until SIGTERM or Ctrl-C."""
    import uvloop

    settings = read_settings(host=host, port=port, workers=workers, database_url=database_url)
    level = logging.getLevelNamesMapping().get(settings.log_level.upper())
    if level is None:
        raise ConfigurationError(
            f"AI_GRPC_LOG_LEVEL is {settings.log_level!r}: set it to DEBUG, INFO, WARNING or ERROR"
        )
    logs.configure(level)
    if settings.workers > 1:
        from ai_grpc.workers import supervise as serve_until_stopped
    else:
        from ai_grpc.app import serve as serve_until_stopped
    uvloop.run(serve_until_stopped(settings))


app.command()(cli_signals.publish)
app.command()(cli_signals.tail)
app.command()(demo)
app.add_typer(cli_database.migrate, name="migrate")
app.add_typer(cli_database.db, name="db")


def main() -> None:
    """Runs the command line. What a user can put right is one line on stderr and exit status 1."""
    logging.basicConfig(level=logging.WARNING, format="ai-grpc: %(message)s")
    try:
        app()
    except Exception as error:  # what has no explanation is a fault, and is raised again
        reason = explanation(error)
        if reason is None:
            raise
        print(f"ai-grpc: {reason}", file=sys.stderr)
        sys.exit(1)


def explanation(error: Exception) -> str | None:
    """What a user can put right, in one line; None if the error is a fault of the program."""
    from asyncpg import InterfaceError, PostgresError
    from pydantic import ValidationError

    from ai_grpc.worker_process import WorkerFailed

    match error:
        case ValidationError():
            first = error.errors(include_url=False, include_input=False)[0]
            name = "_".join(str(part) for part in first["loc"])
            variable = name if name.isupper() else f"AI_GRPC_{name.upper()}"
            return f"{variable} in the environment or in .env: {first['msg']}"
        case PostgresError() | InterfaceError():
            return f"the database: {str(error).partition(chr(10))[0]}; `ai-grpc db verify` says what it lacks"
        case ConfigurationError() | WorkerFailed() | Error() | OSError():
            return " ".join(str(error).split()) or type(error).__name__
    return None
