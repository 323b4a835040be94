"""The product's command line, with the faults of a test in it: CHAOS_FAILPOINT=name:count,... and CHAOS_BUG=name."""

from __future__ import annotations

import os

from ai_grpc import cli
from tests.chaos.bugs import BUGS
from tests.chaos.edits import edit_python
from tests.chaos.failpoints import edits_for


def main() -> None:
    """Runs it. With neither variable nothing is changed."""
    bug = os.environ.get("CHAOS_BUG")
    edit_python([*edits_for(os.environ.get("CHAOS_FAILPOINT", "")), *(BUGS[bug].python if bug else ())])
    cli.main()


if __name__ == "__main__":
    main()
