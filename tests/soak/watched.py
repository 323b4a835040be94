"""The program, which on SIGUSR1 writes the number of its tasks to a file: `python -m tests.soak.watched serve`."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any, Final

from ai_grpc import app, cli

FILE: Final = "SOAK_TASKS_FILE"

_serve: Any = app.serve


async def serve_watched(*arguments: Any, **options: Any) -> None:
    """What `app.serve` does, and the answer to the signal."""
    loop, file = asyncio.get_running_loop(), Path(os.environ[FILE])
    new = file.with_suffix(".new")

    def answer() -> None:
        new.write_text(f"{len(asyncio.all_tasks(loop))}\n")
        # Whoever finds the file finds all of it.
        new.replace(file)

    loop.add_signal_handler(signal.SIGUSR1, answer)
    await _serve(*arguments, **options)


if __name__ == "__main__":
    setattr(app, "serve", serve_watched)  # noqa: B010  # a type of its own would have to follow each change of app.serve
    cli.main()
