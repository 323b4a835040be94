"""Bugs of what is written: which requests, which signals, which ends."""

from __future__ import annotations

from typing import Final

from tests.chaos.bugs_log import APPEND, END
from tests.chaos.edits import Edit
from tests.chaos.seeded import Bug

BUGS: Final = (
    Bug(
        "second_end_wins",
        "A signal that has ended may end again.",
        reveals=("I18",),
        sql=(Edit(END, " AND s.status = 'ACTIVE'", ""),),
    ),
    Bug(
        "refused_in_part",
        "Of a refused request the signals that are right are written.",
        reveals=("I11", "I2"),
        sql=(Edit(APPEND, "j.request <> ALL (refused.requests)", "j.fault IS NULL"),),
    ),
    Bug(
        "other_content_is_a_repetition",
        "An id that was published with other content counts as a repetition.",
        reveals=("I1",),
        faults=("F12",),
        sql=(Edit(APPEND, "THEN 'SIGNAL_EXISTS'", "THEN NULL"),),
    ),
)
