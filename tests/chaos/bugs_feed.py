"""Bugs of what subscribers are given, and told."""

from __future__ import annotations

from typing import Final

from tests.chaos.edits import Edit
from tests.chaos.seeded import Bug

FOLLOW: Final = "ai_grpc.exchange.feed:Feed.follow"
NEXT: Final = "ai_grpc.exchange.feed:Feed._next"
CHECK: Final = "ai_grpc.exchange.feed:Feed.check"
START: Final = "ai_grpc.exchange.subscribing:_start"
AFTER: Final = "return int(request.after.sequence)"

REPLAY: Final = "events, through = await replay.events(cursor, self._ring.oldest - 1)"
ACTIVE: Final = "events, through = await self._log.active(cursor, snapshot, wanted)"

BUGS: Final = (
    Bug(
        "heartbeat_at_the_head",
        "A heartbeat carries the head of the log and not what has been delivered.",
        reveals=("I8", "I9", "I10"),
        faults=("F9",),
        python=(
            Edit(FOLLOW, "yield Heartbeat(cursor)", "yield Heartbeat(self.head)"),
            # It shows when pages without a match take longer than the interval.
            Edit(
                "ai_grpc.exchange.log:LogReader.events",
                "min(through, after + RANGE)",
                "await asyncio.sleep(0.12, min(through, after + 100))",
            ),
        ),
    ),
    Bug(
        "drop_for_the_slow",
        "A subscriber that is too slow for the ring goes on with what is left in it.",
        reveals=("I8", "I9"),
        faults=("F9",),
        python=(Edit(NEXT, REPLAY, "events, through = [], self._ring.oldest - 1"),),
    ),
    Bug(
        "resume_inclusive",
        "A stream is resumed at its position and not after it.",
        reveals=("I7", "I9", "I10"),
        faults=("F8",),
        python=(Edit(START, AFTER, "return max(request.after.sequence - 1, 0)"),),
        quick=False,
    ),
    Bug(
        "resume_one_too_far",
        "A stream is resumed one after its position.",
        reveals=("I8", "I9", "I10"),
        faults=("F8",),
        python=(Edit(START, AFTER, "return request.after.sequence + 1"),),
    ),
    Bug(
        "clamped_position",
        "A position that cannot be served is moved to one that can, without a word.",
        reveals=("I12",),
        faults=("F14", "F18"),
        python=(
            Edit(START, "await topic.feed.check(request.after.epoch, request.after.sequence)", "pass"),
            Edit(START, AFTER, "return min(max(request.after.sequence, topic.feed.floor), topic.feed.head)"),
        ),
    ),
    Bug(
        "any_epoch",
        "A position of another history is taken for one of this.",
        reveals=("I12",),
        faults=("F18",),
        python=(Edit(CHECK, "        self._check_epoch(epoch)\n", ""),),
        quick=False,
    ),
    Bug(
        "position_ahead",
        "A position beyond the head is waited for instead of refused.",
        reveals=("I12",),
        faults=("F18",),
        python=(Edit(CHECK, "while sequence > self.head:", "while False:"),),
        quick=False,
    ),
    Bug(
        "filter_without_confidence",
        "A field of the filter is not looked at.",
        reveals=("I8",),
        python=(
            Edit(
                "ai_grpc.exchange.events:EventFilter.matches",
                "            and event.confidence >= self._min_confidence\n",
                "",
            ),
        ),
    ),
    Bug(
        "one_answer_for_all",
        "What was made for one subscriber is given to another one with another filter.",
        reveals=("I8",),
        python=(
            Edit("ai_grpc.exchange.ring:Ring.batches", "asked = after, size, wanted.key", 'asked = after, size, b""'),
        ),
    ),
    Bug(
        "position_of_the_page",
        "The first messages of a page carry the position of its end.",
        reveals=("I10",),
        python=(Edit("ai_grpc.exchange.steps:batches_of", "append(Batch(last, ", "append(Batch(through, "),),
    ),
    Bug(
        "gap_after_current",
        "The live part of `current` begins at the head after its first part was read, not before.",
        reveals=("I8", "I20"),
        python=(Edit(NEXT, ACTIVE, f"{ACTIVE}\n{' ' * 12}through = max(through, self.head)"),),
    ),
    Bug(
        "drain_without_closing",
        "A server that stops ends its streams without a goodbye.",
        reveals=("I16",),
        faults=("F3",),
        python=(Edit(FOLLOW, "                yield Closing(cursor, lifetime=not self._closing)\n", ""),),
    ),
)
