"""Bugs of the one thing that all order comes from: a number, a lock, and a commit."""

from __future__ import annotations

from typing import Final

from tests.chaos.edits import Edit
from tests.chaos.seeded import Bug

APPEND: Final = "ai_trading.append_signals"
END: Final = "ai_trading.end_signal"
EXPIRE: Final = "ai_trading.expire_signals"
LOCK: Final = "  PERFORM ai_trading.lock_signal_log();\n"
HEAD: Final = "  SELECT h.sequence, h.commit_time INTO head, now FROM ai_trading.signal_log_head() AS h;\n"
NEXT: Final = "nextval('ai_trading.numbers')"
LAST: Final = "currval('ai_trading.numbers')"
PLACE: Final = "head + count(*) FILTER (WHERE j.is_fresh) OVER (ORDER BY j.ordinal) AS sequence"
WITHOUT_KEY: Final = """
ALTER TABLE ai_trading.signal_log DROP CONSTRAINT signal_log_pkey;
CREATE INDEX ON ai_trading.signal_log (sequence);
"""

# Readers that put up with holes.
TOLERANT: Final = (
    Edit("ai_grpc.exchange.log:read_events", "if len(events) == end - after:", "if True:"),
    Edit(
        "ai_grpc.exchange.ring:Ring.batches",
        "[self._at(sequence) for sequence in range(after + 1, through + 1)]",
        "[event for sequence in range(after + 1, through + 1) "
        "if (event := self._events[sequence % self._size]) and event.sequence == sequence]",
    ),
)

BUGS: Final = (
    Bug(
        "numbers_without_lock",
        "Sequences come from nextval without a lock, and readers take the highest that they see as the end.",
        reveals=("I8", "I9"),
        preparation="CREATE SEQUENCE ai_trading.numbers",
        sql=(
            Edit(APPEND, LOCK, ""),
            Edit(APPEND, PLACE, f"CASE WHEN j.is_fresh THEN {NEXT} END AS sequence"),
            Edit(END, LOCK, ""),
            Edit(END, "end_sequence = head + 1", f"end_sequence = {NEXT}"),
            Edit(END, "VALUES (head + 1, ended_id", f"VALUES ({LAST}, ended_id"),
            Edit(END, "SELECT head + 1, end_state", f"SELECT {LAST}, end_state"),
            Edit(EXPIRE, LOCK, ""),
            Edit(EXPIRE, "head + row_number() OVER (ORDER BY s.expires_at, s.sequence)", NEXT),
            Edit(EXPIRE, "RETURN head + count", f"RETURN {LAST}"),
        ),
        python=TOLERANT,
        quick=False,
    ),
    Bug(
        "numbers_without_lock_seen",
        "Sequences come from nextval without a lock, and readers do not put up with holes.",
        reveals=("I13", "I19"),
        preparation="CREATE SEQUENCE ai_trading.numbers",
        sql=(Edit(APPEND, LOCK, ""), Edit(APPEND, PLACE, f"CASE WHEN j.is_fresh THEN {NEXT} END AS sequence")),
    ),
    Bug(
        "head_before_lock",
        "The head is read before the lock is taken.",
        reveals=("I19",),
        sql=(Edit(APPEND, LOCK + HEAD, HEAD + LOCK),),
    ),
    Bug(
        "head_and_lock_in_one_statement",
        "The lock is taken by the statement that reads the head, whose snapshot is older than the lock.",
        reveals=("I19",),
        sql=(
            Edit(APPEND, LOCK, ""),
            Edit(
                APPEND,
                "INTO head, now FROM ai_trading.signal_log_head() AS h;",
                "INTO head, now FROM ai_trading.lock_signal_log(), ai_trading.signal_log_head() AS h;",
            ),
        ),
    ),
    Bug(
        "head_before_lock_without_key",
        "The head is read before the lock is taken, and nothing keeps a sequence from being given twice.",
        reveals=("I3", "I5"),
        preparation=WITHOUT_KEY,
        sql=(Edit(APPEND, LOCK + HEAD, HEAD + LOCK),),
        quick=False,
    ),
    Bug(
        "dedupe_outside_lock",
        "Known ids are looked up before the lock is taken.",
        reveals=("I4", "I5"),
        faults=("F12",),
        sql=(
            Edit(APPEND, "  head BIGINT;\n", "  head BIGINT;\n  known UUID[];\n"),
            Edit(
                APPEND,
                LOCK,
                "  known := ARRAY(SELECT s.signal_id FROM ai_trading.ai_signals AS s "
                # Commits may be quick: it shows when another one comes in between.
                f"WHERE s.signal_id = ANY (signal_ids));\n  PERFORM pg_sleep(0.02);\n{LOCK}",
            ),
            Edit(
                APPEND, "ON old.signal_id = g.signal_id", "ON old.signal_id = g.signal_id AND g.signal_id = ANY (known)"
            ),
            Edit(
                APPEND,
                "now, now\n    FROM placed AS f WHERE f.is_fresh",
                "now, now\n    FROM placed AS f WHERE f.is_fresh ON CONFLICT DO NOTHING",
            ),
        ),
    ),
    Bug(
        "end_without_lock",
        "A change of state takes its number without the lock.",
        reveals=("I19",),
        sql=(Edit(END, LOCK + HEAD, f"{HEAD}  PERFORM pg_sleep(0.02);\n"),),
    ),
    Bug(
        "trim_without_floor",
        "Retention deletes from the log and does not raise the floor.",
        reveals=("I5", "I12"),
        faults=("F14",),
        sql=(
            Edit(
                "ai_trading.trim_signal_log",
                "  UPDATE ai_trading.log_meta SET floor = least(through, h.sequence)\n"
                "  FROM ai_trading.signal_log_head() AS h WHERE floor < least(through, h.sequence);\n",
                "",
            ),
            Edit("ai_trading.trim_signal_log", "l.sequence <= m.floor", "l.sequence <= through"),
        ),
    ),
)
