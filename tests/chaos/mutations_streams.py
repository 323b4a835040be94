"""One thing that goes wrong in what a subscriber of a right history saw. Raises IndexError where it does not fit."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from tests.chaos.history import History, Message, Position, Stream
from tests.chaos.nouns import BEGINNINGS


def corrupt_a_delivery(history: History, rng: Random) -> None:
    """A content that nobody sent."""
    stream, place = _batch(history, rng)
    message = stream.messages[place]
    events = (replace(message.events[0], content=b"\x0a\x01x"), *message.events[1:])
    stream.messages[place] = replace(message, events=events)


def deliver_another_signal(history: History, rng: Random) -> None:
    """A replica that has another event at the sequence."""
    stream, place = _batch(history, rng)
    message = stream.messages[place]
    others = [entry for entry in history.log if entry.key != message.events[0].key]
    other = rng.choice(others)
    seen = replace(message.events[0], key=other.key, content=other.content)
    stream.messages[place] = replace(message, events=(seen, *message.events[1:]))


def drop_an_event(history: History, rng: Random) -> None:
    """The buffer was full."""
    stream, place = _batch(history, rng)
    message = stream.messages[place]
    stream.messages[place] = replace(message, events=message.events[1:])


def swap_two_events(history: History, rng: Random) -> None:
    """Out of order in one message."""
    stream, place = _batch(history, rng, most=2)
    message = stream.messages[place]
    stream.messages[place] = replace(message, events=(message.events[1], message.events[0], *message.events[2:]))


def repeat_an_event(history: History, rng: Random) -> None:
    """Given twice on one stream."""
    stream, place = _batch(history, rng)
    message = stream.messages[place]
    stream.messages[place] = replace(message, events=(message.events[0], *message.events))


def give_what_is_not_wanted(history: History, rng: Random) -> None:
    """A field of the filter is ignored: an unfiltered stream said that it was filtered."""
    stream, _ = _batch(history, rng)
    stream.wanted = type(stream.wanted)(model_ids=["nobody wants that"])


def mistake_the_topic(history: History, rng: Random) -> None:
    """A stream is given the events of another topic."""
    stream, _ = _batch(history, rng)
    other = rng.choice([one.wanted for one in history.streams if type(one.wanted) is not type(stream.wanted)])
    stream.wanted = other


def forget_what_was_taken(history: History, rng: Random) -> None:
    """A subscriber goes on where it was not."""
    stream = rng.choice([one for one in history.streams if one.start == "after"])
    history.streams[history.streams.index(stream) - 1].taken = Position(history.epoch, 0)


def skip_after_a_resume(history: History, rng: Random) -> None:
    """The first event after the position is left out."""
    stream = rng.choice([one for one in history.streams if one.start == "after"])
    place = next((n for n, message in enumerate(stream.messages) if message.events), None)
    if place is None:
        raise IndexError
    stream.messages[place] = replace(stream.messages[place], events=stream.messages[place].events[1:])


def promise_too_much(history: History, rng: Random) -> None:
    """A heartbeat at the head before what comes next."""
    stream, place = _batch(history, rng)
    last = stream.messages[place]
    position = Position(history.epoch, last.events[0].sequence)
    stream.messages.insert(place, Message(last.time, "heartbeat", position))


def go_back(history: History, rng: Random) -> None:
    """A position below the one before."""
    stream = rng.choice([one for one in history.streams if one.messages[-1].position.sequence > 0])
    stream.messages.append(Message(stream.messages[-1].time, "heartbeat", Position(history.epoch, 0)))


def change_the_epoch(history: History, rng: Random) -> None:
    """A position of another history."""
    stream = rng.choice(history.streams)
    last = stream.messages[-1]
    stream.messages[-1] = replace(last, position=Position("another", last.position.sequence))


def end_without_goodbye(history: History, rng: Random) -> None:
    """A drained stream that did not hear Closing."""
    rng.choice(history.streams).reason = "DRAINING"


def leave_out_an_active_signal(history: History, rng: Random) -> None:
    """The first part of `current` has a hole."""
    stream, place = _first_part(history)
    stream.messages[place] = replace(stream.messages[place], events=stream.messages[place].events[:-1])


def give_an_ended_signal(history: History, rng: Random) -> None:
    """The first part of `current` holds a signal that had ended."""
    stream, place = _first_part(history)
    message = stream.messages[place]
    past = history.log[: message.position.sequence]
    over = {entry.key for entry in past if entry.kind not in BEGINNINGS}
    ended = [entry for entry in past if entry.kind in BEGINNINGS and entry.key in over]
    entry = rng.choice(ended)
    seen = replace(message.events[0], sequence=entry.sequence, key=entry.key, content=entry.content)
    events = sorted((*message.events, seen), key=lambda one: one.sequence)
    stream.messages[place] = replace(message, events=tuple(events))


def _batch(history: History, rng: Random, most: int = 1) -> tuple[Stream, int]:
    """A message with events, not of a stream whose first part has an order of its own."""
    return rng.choice(
        [
            (stream, place)
            for stream in history.streams
            if stream.start != "current"
            for place, message in enumerate(stream.messages)
            if len(message.events) >= most
        ]
    )


def _first_part(history: History) -> tuple[Stream, int]:
    stream = next(stream for stream in history.streams if stream.start == "current")
    if not stream.messages[1].events:
        raise IndexError
    return stream, 1
