"""Points in the life of an append, or of a report, at which a replica of a test kills itself, as a power cut would."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from typing import Final

from tests.chaos.edits import Edit

APPEND: Final = "ai_grpc.exchange.writer:SignalWriter._append"
LAST_MOMENT: Final = 0.1
REACH: Final = "from tests.chaos.failpoints import reach; reach"
CONNECT: Final = "            connection = await self._line.get()\n"
SEND: Final = '            placed = await connection.fetch(SQL["append"], *arguments)\n'
# After a few passes of the event loop the call has left, and its reply cannot have been looked at.
SENT: Final = f"""\
            sending = asyncio.ensure_future(connection.fetch(SQL["append"], *arguments))
            for _ in range(3):
                await asyncio.sleep(0)
            {REACH}("after_send")
            placed = await sending
"""
TELL: Final = "            self._on_commit(events)\n"
ANSWER: Final = "            self._answer(batch, placed)\n"
INSERT: Final = "ai_grpc.batches:insert"
WRITE: Final = "            return await batch.put(connection, 0, len(batch.items))\n"
WRITTEN: Final = "            rows = await batch.put(connection, 0, len(batch.items))\n"

FAILPOINTS: Final = {
    "before_send": Edit(APPEND, CONNECT, f'{CONNECT}            {REACH}("before_send")\n'),
    "after_send": Edit(APPEND, SEND, SENT),
    "after_commit": Edit(APPEND, ANSWER, f'            {REACH}("after_commit")\n{ANSWER}'),
    "after_ack": Edit("ai_grpc.exchange.writer:SignalWriter._tell", TELL, f'            {REACH}("after_ack")\n{TELL}'),
    "before_report": Edit(INSERT, WRITE, f'{WRITTEN}            {REACH}("before_report")\n        return rows\n'),
    "after_report": Edit(INSERT, WRITE, f'{WRITTEN}        {REACH}("after_report")\n        return rows\n'),
}

_left: Counter[str] = Counter()


def edits_for(wanted: str) -> list[Edit]:
    """What `name:count`, or several of these between commas, asks for: death at the count-th time it is reached."""
    for part in filter(None, wanted.split(",")):
        name, _, count = part.partition(":")
        _left[name] = int(count)
    return [FAILPOINTS[name] for name in _left]


def reach(name: str) -> None:
    """Dies if it is time."""
    _left[name] -= 1
    if _left[name] == 0:
        # What has been handed to the network may leave, and nothing else happens.
        time.sleep(LAST_MOMENT)
        os.kill(os.getpid(), signal.SIGKILL)
