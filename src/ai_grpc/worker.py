"""One of the processes that `ai_grpc.workers` keeps: `python -m ai_grpc.worker <number>`, for nobody else to start.

Its settings are one line of its standard input, where the arguments and the environment would show their passwords. The
end of the input, whose other end the supervisor holds, says that nobody keeps the worker any more, and it drains.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress

import uvloop

from ai_grpc import logs
from ai_grpc.app import serve
from ai_grpc.cli import explanation
from ai_grpc.settings import Settings
from ai_grpc.worker_process import SERVING, STOP_MARGIN


def main() -> None:
    """Serves until SIGTERM, or until the supervisor is gone."""
    number, order = int(sys.argv[1]), sys.stdin.buffer.readline()
    if not order:
        return
    settings = Settings(**{"_env_file": None, **json.loads(order)})
    logs.configure(logging.getLevelNamesMapping()[settings.log_level.upper()], number)
    threading.Thread(target=_end_with_supervisor, args=(settings.drain_grace + STOP_MARGIN,), daemon=True).start()
    try:
        uvloop.run(serve(settings, worker=number, on_serving=lambda: _say(SERVING)))
    except Exception as error:  # what has no explanation is a fault, and is raised again
        reason = explanation(error)
        if reason is None:
            raise
        _say(reason)
        sys.exit(1)


def _say(line: str) -> None:
    # Who hears nothing any more is gone, and the worker ends for that.
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), f"{line}\n".encode())


def _end_with_supervisor(seconds: float) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    # Blocks a thread that does nothing else, and that outlives an event loop which hangs.
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
