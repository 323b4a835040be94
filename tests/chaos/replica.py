"""The product's command line, with the faults of a test in it: CHAOS_FAILPOINT=name:count,... and CHAOS_BUG=name."""

from __future__ import annotations

import os
from typing import Final

from ai_grpc import cli
from tests.chaos.bugs import BUGS
from tests.chaos.edits import Edit, edit_python
from tests.chaos.failpoints import edits_for

RING: Final = Edit("ai_grpc.app:_build", "TOPIC_EVENTS, TOPIC_BYTES", "settings.ring_events, settings.ring_bytes")


def main() -> None:
    """Runs it. Without them only the ring of the topics is another: it is as small as that of the signals."""
    bug = os.environ.get("CHAOS_BUG")
    edit_python([RING, *edits_for(os.environ.get("CHAOS_FAILPOINT", "")), *(BUGS[bug].python if bug else ())])
    cli.main()


if __name__ == "__main__":
    main()
