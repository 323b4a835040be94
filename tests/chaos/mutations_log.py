"""One thing that goes wrong in a right history's log or calls. Raises IndexError where it does not fit."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from tests.chaos.history import History, Outcome, Probe, Publish, Sent
from tests.chaos.nouns import BEGINNINGS


def lose_an_acknowledged_signal(history: History, rng: Random) -> None:
    """Crashed before the commit, after the ack."""
    lost = {sent.key for sent in rng.choice(_acked(history)).items}
    history.log = [entry for entry in history.log if entry.key not in lost]
    history.rows = [row for row in history.rows if row.key not in lost]


def lose_a_row(history: History, rng: Random) -> None:
    """A hole."""
    history.log.remove(rng.choice(history.log[:-1]))


def lose_the_end(history: History, rng: Random) -> None:
    """The floor was not raised, or the log went back."""
    history.log.pop()


def lose_the_beginning(history: History, rng: Random) -> None:
    """Rows were trimmed, and the floor was not raised."""
    del history.log[0]


def tell_another_sequence(history: History, rng: Random) -> None:
    """Two answers for one signal differ."""
    repeated = [publish for publish in _acked(history) if any(publish.duplicates)]
    publish = rng.choice(repeated)
    _change(history, publish, replace(publish, sequences=tuple(n + 1 for n in publish.sequences)))


def tell_two_that_they_were_first(history: History, rng: Random) -> None:
    """The flag of a repetition is missing."""
    firsts = {sent.key for publish in _acked(history) if not any(publish.duplicates) for sent in publish.items}
    repeated = [p for p in _acked(history) if any(p.duplicates) and p.items[0].key in firsts]
    publish = rng.choice(repeated)
    _change(history, publish, replace(publish, duplicates=(False,) * len(publish.items)))


def publish_twice(history: History, rng: Random) -> None:
    """An id was looked for before the lock was taken."""
    entry = rng.choice([entry for entry in history.log if entry.kind in BEGINNINGS])
    history.head += 1
    history.log.append(replace(entry, sequence=history.head))


def swap_the_log(history: History, rng: Random) -> None:
    """Two requests, of which one was answered before the other was made, are in the other order, for everybody."""
    first, second = sorted(rng.sample(_acked(history), 2), key=lambda publish: publish.invoked)
    if any(first.duplicates) or any(second.duplicates) or len(first.items) != len(second.items):
        raise IndexError
    at = {entry.key: entry.sequence for entry in history.log if entry.kind in BEGINNINGS}
    places = dict[int, int]()
    for one, other in zip(first.items, second.items, strict=True):
        places |= {at[one.key]: at[other.key], at[other.key]: at[one.key]}
    _change(history, first, replace(first, sequences=second.sequences))
    _change(history, second, replace(second, sequences=first.sequences))
    history.log = sorted(
        (replace(entry, sequence=places.get(entry.sequence, entry.sequence)) for entry in history.log),
        key=lambda entry: entry.sequence,
    )
    history.rows = [replace(row, place=row.place and places.get(row.place, row.place)) for row in history.rows]
    history.streams.clear()


def tear_a_request(history: History, rng: Random) -> None:
    """A part of an unanswered request is missing."""
    repeated = {sent.key for publish in _acked(history) for sent in publish.items}
    unknown = [p for p in history.publishes if p.outcome is Outcome.UNKNOWN and len(p.items) > 1]
    publish = rng.choice([p for p in unknown if p.items[0].key not in repeated])
    history.log = [entry for entry in history.log if entry.key != publish.items[0].key]


def spread_a_request(history: History, rng: Random) -> None:
    """Other signals between those of one request."""
    publish = rng.choice([p for p in _acked(history) if len(p.items) > 1 and not any(p.duplicates)])
    _change(history, publish, replace(publish, sequences=(*publish.sequences[:-1], publish.sequences[-1] + 7)))


def write_what_was_refused(history: History, rng: Random) -> None:
    """A part of a refused request was written."""
    publish = rng.choice([publish for publish in history.publishes if publish.outcome is Outcome.FAIL])
    history.head += 1
    new = publish.items[0]
    history.log.append(replace(history.log[0], sequence=history.head, key=new.key, content=new.content))


def accept_a_wrong_position(history: History, rng: Random) -> None:
    """Silence instead of a named refusal."""
    history.probes.append(Probe("one", "1000000", "POSITION_AHEAD", ""))


def drain_too_long(history: History, rng: Random) -> None:
    """Longer than the grace."""
    history.drains[0] = replace(history.drains[0], seconds=5.1)


def let_the_second_win(history: History, rng: Random) -> None:
    """Both bots were told that they had won."""
    end = rng.choice([end for end in history.ends if end.outcome is Outcome.FAIL])
    won = replace(end, outcome=Outcome.OK, sequence=history.head + 1, reason="")
    history.ends[history.ends.index(end)] = won
    history.head += 1
    old = next(entry for entry in history.log if entry.key == end.key)
    history.log.append(replace(old, sequence=history.head, kind=end.state))


def win_without_an_event(history: History, rng: Random) -> None:
    """The winner's end is in the log as another's."""
    end = rng.choice([end for end in history.ends if end.outcome is Outcome.OK])
    other = rng.choice([other.state for other in history.ends if other.state != end.state])
    history.ends[history.ends.index(end)] = replace(end, state=other)


def end_twice(history: History, rng: Random) -> None:
    """A repeated call to end something ended it again."""
    entry = rng.choice([entry for entry in history.log if entry.kind not in BEGINNINGS])
    history.head += 1
    history.log.append(replace(entry, sequence=history.head))


def log_nothing_of_a_row(history: History, rng: Random) -> None:
    """The trigger did not fire: the table holds what the log has never heard of."""
    publish = rng.choice(_acked(history))
    row = next(row for row in history.rows if row.key == publish.items[0].key)
    history.rows[history.rows.index(row)] = replace(row, key="unheard of", place=row.place and 0)


def keep_what_was_rolled_back(history: History, rng: Random) -> None:
    """The table has a row of a transaction that was rolled back."""
    row = rng.choice(history.rows)
    sent = Sent("rolled back", row.content)
    refused = Publish("sql", "one", 0.0, 1.0, Outcome.FAIL, (sent,), reason="ROLLED_BACK", refusal="ROLLED_BACK")
    history.publishes.append(refused)
    history.rows.append(replace(row, key=sent.key, place=row.place and 1))


def commit_what_was_to_be_rolled_back(history: History, rng: Random) -> None:
    """A transaction that was to be rolled back is acknowledged."""
    publish = rng.choice(_acked(history))
    _change(history, publish, replace(publish, refusal="ROLLED_BACK"))


def write_another_content(history: History, rng: Random) -> None:
    """The table holds something else than what was acknowledged and logged."""
    acked = {sent.key for publish in _acked(history) for sent in publish.items}
    row, other = rng.sample(history.rows, 2)
    if row.key not in acked:
        raise IndexError
    history.rows[history.rows.index(row)] = replace(row, content=other.content)


def lose_a_known_signal(history: History, rng: Random) -> None:
    """A signal that was acknowledged is not found."""
    known = {sent.key for publish in _acked(history) for sent in publish.items}
    end = rng.choice([end for end in history.ends if end.outcome is Outcome.FAIL and end.key in known])
    first = min(p.ended for p in _acked(history) if end.key in {sent.key for sent in p.items})
    if first >= end.invoked:
        raise IndexError
    history.ends[history.ends.index(end)] = replace(end, reason="SIGNAL_NOT_FOUND")


def refuse_without_cause(history: History, rng: Random) -> None:
    """A right request is told that it is wrong."""
    publish = rng.choice(history.publishes)
    _change(history, publish, replace(publish, outcome=Outcome.FAIL, reason="INVALID_FIELD", sequences=()))


def _acked(history: History) -> list[Publish]:
    return [publish for publish in history.publishes if publish.outcome is Outcome.OK]


def _change(history: History, one: Publish, other: Publish) -> None:
    history.publishes = [other if publish is one else publish for publish in history.publishes]
