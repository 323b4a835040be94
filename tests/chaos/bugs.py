"""Bugs that such a service may have, put into it on purpose: whoever claims to find bugs has to find these."""

from __future__ import annotations

from typing import Final

from tests.chaos import bugs_events, bugs_feed, bugs_log, bugs_state, bugs_writer
from tests.chaos.edits import edit_sql
from tests.chaos.seeded import Bug
from tests.faults.database import administrator

BUGS: Final[dict[str, Bug]] = {
    bug.name: bug for bug in (*bugs_log.BUGS, *bugs_state.BUGS, *bugs_writer.BUGS, *bugs_feed.BUGS, *bugs_events.BUGS)
}


async def apply(dsn: str, name: str) -> None:
    """Puts the part of a bug that lives in the database into it. The other part is in the replicas: CHAOS_BUG."""
    bug = BUGS[name]
    if not (bug.sql or bug.preparation):
        return
    async with administrator(dsn) as admin:
        if bug.preparation:
            await admin.execute(bug.preparation)
        await edit_sql(admin, bug.sql)
