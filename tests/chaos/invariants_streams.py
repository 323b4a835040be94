"""What subscribers are promised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import lt

from tests.chaos import telling
from tests.chaos.evidence import Delivery, Evidence
from tests.chaos.history import Message, Position, Stream


def ordered_and_unique(evidence: Evidence) -> Iterator[str]:
    """I7."""
    for delivery in evidence.deliveries:
        given = delivery.sequences
        if not all(map(lt, given, given[1:])):
            before, after = next(pair for pair in pairwise(given) if pair[0] >= pair[1])
            yield _lines(delivery.stream, *(_carrying(delivery, sequence) for sequence in (before, after)))
        start = delivery.stream.after
        if start is not None and given and min(given) <= start.sequence:
            yield _lines(delivery.stream, _carrying(delivery, min(given)))


def complete(evidence: Evidence) -> Iterator[str]:
    """I8."""
    for delivery in evidence.deliveries:
        owed = evidence.owed(delivery.stream.wanted, delivery.base, delivery.told)
        given = delivery.sequences
        if delivery.stream.start == "current":
            given = [sequence for sequence in given if sequence > delivery.base]
        if given != owed:
            yield from _differences(evidence, delivery, given, owed)


def exactly_once_over_reconnects(evidence: Evidence) -> Iterator[str]:
    """I9."""
    chains: dict[str, Chain] = {}
    deliveries = {id(delivery.stream): delivery for delivery in evidence.deliveries}
    for stream in evidence.history.streams:
        delivery = deliveries.get(id(stream))
        if delivery is None:
            continue
        chain = chains.get(stream.subscriber)
        if chain is not None and stream.start == "after" and chain.stream.wanted == stream.wanted:
            if chain.taken != stream.after:
                taken = telling.of_position(chain.taken)
                yield f"{_lines(chain.stream)}\nhad been taken up to {taken}\n{_lines(stream)}"
            chain.stream = stream
        else:
            chain = chains[stream.subscriber] = Chain(delivery)
        yield from chain.add(evidence, delivery)


class Chain:
    """The streams of a subscriber of which each goes on where the one before was left."""

    def __init__(self, delivery: Delivery) -> None:
        self.stream = delivery.stream
        self.taken = Position(delivery.stream.messages[0].position.epoch, delivery.base)
        self._last = delivery.base

    def add(self, evidence: Evidence, delivery: Delivery) -> Iterator[str]:
        """Takes over what the subscriber took from a stream; tells what it had twice by then, or not at all."""
        taken = delivery.stream.taken
        if taken is None:
            return
        # The active signals that come first are not in the order of what comes later.
        floor = delivery.base if delivery.stream.start == "current" else 0
        given = [sequence for sequence in delivery.sequences if floor < sequence <= taken.sequence]
        owed = evidence.owed(delivery.stream.wanted, self._last, taken.sequence)
        if given != owed and (wrong := sorted(set(given) ^ set(owed))):
            what = "was left out" if wrong[0] in owed else "was given again, or not wanted"
            yield f"{_lines(delivery.stream)}\nafter {self._last} and up to {taken.sequence}, {wrong[0]} {what}"
        self.taken, self._last = taken, taken.sequence


def positions_hold(evidence: Evidence) -> Iterator[str]:
    """I10."""
    history = evidence.history
    for delivery in evidence.deliveries:
        stream, last = delivery.stream, delivery.stream.messages[0]
        if stream.after is not None and last.what == "started" and last.position != stream.after:
            yield _lines(stream, last)
        for message in stream.messages:
            position = message.position
            if position.epoch != history.epoch:
                yield f"{_lines(stream, message)}\nthe epoch is {history.epoch}"
            if position.sequence > history.head:
                yield f"{_lines(stream, message)}\nthe log ends at {history.head}"
            if position.sequence < last.position.sequence:
                yield _lines(stream, last, message)
            for seen in message.events:
                if not last.position.sequence < seen.sequence <= position.sequence and message is not last:
                    yield f"{_lines(stream, last, message)}\n{telling.of_seen(seen)}"
            last = message


def _differences(evidence: Evidence, delivery: Delivery, given: Sequence[int], owed: Sequence[int]) -> Iterator[str]:
    missing, extra = sorted(set(owed) - set(given)), sorted(set(given) - set(owed))
    if missing:
        passed = next(m for m in delivery.stream.messages if m.position.sequence >= missing[0])
        entry = telling.of_entry(evidence.known[missing[0]])
        yield f"{_lines(delivery.stream, passed)}\n{entry}\nwas left out, the first of {len(missing)}"
    if extra:
        text = "was not wanted, or has no place there"
        yield f"{_lines(delivery.stream, _carrying(delivery, extra[0]))}\n{extra[0]} {text}"


def _carrying(delivery: Delivery, sequence: int) -> Message:
    return next(
        message for message in delivery.stream.messages if any(seen.sequence == sequence for seen in message.events)
    )


def _lines(stream: Stream, *messages: Message) -> str:
    return "\n".join([telling.of_stream(stream), *map(telling.of_message, messages)])
