"""Bugs of the second log: of the triggers that write it, of those who write its tables, and of who is given what."""

from __future__ import annotations

from typing import Final

from tests.chaos.bugs_feed import ACTIVE, AFTER, NEXT, START
from tests.chaos.bugs_log import TOLERANT
from tests.chaos.edits import Edit
from tests.chaos.ledgers import EVENTS
from tests.chaos.seeded import Bug

TRIGGER: Final = "ai_trading.log_event"
LOCK: Final = "  PERFORM pg_advisory_xact_lock(4711001, 3);\n"
UNIQUE: Final = "\n  ON CONFLICT (sequence) DO NOTHING;"
BOUND: Final = "ai_grpc.records:bound"
NAMES: Final = "    names = tuple("
AT_ONCE: Final = "UPDATE pg_trigger SET tginitdeferred = FALSE WHERE tgname LIKE 'anomaly%';"
WITHOUT_KEY: Final = "ALTER TABLE ai_trading.event_log DROP CONSTRAINT event_log_pkey;"
REPORTED_AGAIN: Final = """
CREATE CONSTRAINT TRIGGER anomaly_5_reported_again AFTER UPDATE OF anomaly_id ON ai_trading.anomaly_detections
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
EXECUTE FUNCTION ai_trading.log_event('ANOMALY', 'REPORTED', 'anomaly_message');
"""

BUGS: Final = (
    Bug(
        "events_without_lock",
        "The trigger takes the next number without the lock.",
        reveals=("I19",),
        sql=(Edit(TRIGGER, LOCK, ""),),
        ledger=EVENTS,
    ),
    Bug(
        "events_without_lock_and_key",
        "The trigger takes no lock, and nothing keeps a sequence from being given twice.",
        reveals=("I3", "I5"),
        preparation=WITHOUT_KEY,
        sql=(Edit(TRIGGER, LOCK, ""), Edit(TRIGGER, UNIQUE, ";")),
        ledger=EVENTS,
        quick=False,
    ),
    Bug(
        "events_numbered_at_once",
        "An event has its number from when its row is written, not from the end of the transaction.",
        reveals=("I8", "I9"),
        preparation=f"CREATE SEQUENCE ai_trading.numbers; {AT_ONCE}",
        sql=(
            Edit(TRIGGER, LOCK, ""),
            Edit(TRIGGER, "VALUES (head + 1,", "VALUES (nextval('ai_trading.numbers'),"),
            Edit(TRIGGER, "USING head + 1", "USING currval('ai_trading.numbers')"),
        ),
        python=TOLERANT,
        ledger=EVENTS,
        quick=False,
    ),
    Bug(
        "events_locked_at_once",
        "The lock is taken when a row is written, and held until the transaction ends.",
        reveals=("I17",),
        faults=("F10",),
        preparation=AT_ONCE,
        ledger=EVENTS,
        quick=False,
    ),
    Bug(
        "events_head_and_lock_in_one_statement",
        "The lock is taken by the statement that reads the head, whose snapshot is older than the lock.",
        reveals=("I19",),
        sql=(
            Edit(TRIGGER, LOCK, ""),
            Edit(TRIGGER, "now FROM ai_trading", "now FROM pg_advisory_xact_lock(4711001, 3), ai_trading"),
        ),
        ledger=EVENTS,
        quick=False,
    ),
    Bug(
        "reported_again",
        "A report that is repeated is logged again.",
        reveals=("I4", "I18"),
        preparation=REPORTED_AGAIN,
        ledger=EVENTS,
        quick=False,
    ),
    Bug(
        "resolved_again",
        "An anomaly that was resolved is resolved again, with another note.",
        reveals=("I1", "I18"),
        python=(Edit(BOUND, NAMES, f'    sql = sql.replace(" AND NOT resolved", "")\n{NAMES}'),),
        ledger=EVENTS,
    ),
    Bug(
        "report_without_commit",
        "A report is acknowledged, and the transaction is never committed.",
        reveals=("I1",),
        python=(
            Edit(
                "ai_grpc.batches:insert",
                "        async with connection.transaction():\n            return",
                '        if await connection.execute("BEGIN"):\n            return',
            ),
        ),
        ledger=EVENTS,
    ),
    Bug(
        "events_trimmed_without_floor",
        "Retention deletes from the log and does not raise the floor.",
        reveals=("I5", "I12"),
        faults=("F14",),
        sql=(
            Edit("ai_trading.trim_event_log", "WHERE last.sequence > m.floor", "WHERE FALSE"),
            Edit("ai_trading.trim_event_log", "l.sequence <= m.floor", "l.commit_time <= moment"),
        ),
        ledger=EVENTS,
        quick=False,
    ),
    Bug(
        "events_without_poll",
        "A replica reads when it is notified of an event, and never else.",
        reveals=("I13",),
        faults=("F17",),
        python=(
            Edit("ai_grpc.exchange.tail:Tail._follow", "asyncio.timeout(self._poll_interval)", "asyncio.timeout(None)"),
        ),
        ledger=EVENTS,
        quick=False,
    ),
    Bug(
        "events_resumed_one_too_far",
        "A stream of a topic is resumed one after its position.",
        reveals=("I8", "I9", "I10"),
        faults=("F8",),
        python=(Edit(START, AFTER, "return request.after.sequence + 1"),),
        ledger=EVENTS,
        quick=False,
    ),
    Bug(
        "events_replayed_without_filter",
        "What is read from the database is not looked at by all fields of the filter.",
        reveals=("I8",),
        python=(
            Edit(
                "ai_grpc.exchange.log:read_events",
                "*wanted.parameters, PAGE",
                "*wanted.parameters[:5], *(None for _ in wanted.parameters[5:]), PAGE",
            ),
        ),
        ledger=EVENTS,
    ),
    Bug(
        "gap_after_the_open_ones",
        "The live part of `current` begins at the head after the open anomalies were read, not before.",
        reveals=("I8", "I20"),
        python=(Edit(NEXT, ACTIVE, f"{ACTIVE}\n{' ' * 12}through = max(through, self.head)"),),
        ledger=EVENTS,
        quick=False,
    ),
)
