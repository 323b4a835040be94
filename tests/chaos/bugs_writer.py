"""Bugs of the append lane, and of what the tail takes over from it."""

from __future__ import annotations

from typing import Final

from tests.chaos.edits import Edit
from tests.chaos.seeded import Bug

EARLY_ACK: Final = """\
            async with connection.transaction():
                placed = await connection.fetch(SQL["append"], *arguments)
                rows = iter(placed)
                for submission in batch:
                    submission.answer([row for _, row in zip(submission.publication.rows, rows)])
                await asyncio.sleep(0.3)
"""

BUGS: Final = (
    Bug(
        "ack_before_commit",
        "The answer is given before the commit.",
        reveals=("I1", "I3"),
        faults=("F1",),
        python=(
            Edit(
                "ai_grpc.exchange.writer:SignalWriter._append",
                '            placed = await connection.fetch(SQL["append"], *arguments)\n',
                EARLY_ACK,
            ),
        ),
    ),
    Bug(
        "repetition_looks_new",
        "A repeated publication is answered as if it were the first.",
        reveals=("I4",),
        faults=("F12",),
        python=(
            Edit(
                "ai_grpc.exchange.submission:Submission.answer",
                "Placed(sequence, duplicate) for",
                "Placed(sequence, False) for",
            ),
        ),
    ),
    Bug(
        "own_commits_first",
        "A replica takes over its own commits without looking whether others' come before them.",
        reveals=("I8", "I9", "I10", "I19"),
        python=(Edit("ai_grpc.exchange.tail:Tail.offer", "if events[0].sequence == self._feed.head + 1:", "if True:"),),
    ),
    Bug(
        "no_poll",
        "A replica reads when it is notified, and never else.",
        reveals=("I13",),
        faults=("F17",),
        python=(
            Edit("ai_grpc.exchange.tail:Tail._follow", "asyncio.timeout(self._poll_interval)", "asyncio.timeout(None)"),
        ),
    ),
)
