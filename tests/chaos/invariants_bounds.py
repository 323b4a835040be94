"""Refusals, drains, and what may be measured and has a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.chaos import telling
from tests.chaos.evidence import Evidence


def positions_are_refused_by_name(evidence: Evidence) -> Iterator[str]:
    """I12."""
    history = evidence.history
    for probe in history.probes:
        if probe.answer != probe.expected:
            yield (
                f"{probe.replica}: subscribe after {probe.position}: {probe.answer or 'accepted'}\n"
                f"expected {probe.expected or 'acceptance'}"
            )
    for stream in history.streams:
        after = stream.after
        if after is not None and stream.messages and (after.epoch != history.epoch or after.sequence > history.head):
            log = f"the log of {history.epoch[:8]} ends at {history.head}"
            yield f"{telling.of_stream(stream)}\n{telling.of_message(stream.messages[0])}\n{log}"


def drains_are_orderly(evidence: Evidence) -> Iterator[str]:
    """I16."""
    for drain in evidence.history.drains:
        if drain.status != 0 or drain.seconds > drain.grace or drain.closings != drain.streams:
            yield (
                f"SIGTERM to {drain.replica}: exit status {drain.status} after {drain.seconds:.1f} s of "
                f"{drain.grace:g}; {drain.closings} of {drain.streams} streams heard Closing"
            )
    for stream in evidence.history.streams:
        whats = [message.what for message in stream.messages]
        if "closing" in whats[:-1] or (stream.reason == "DRAINING" and whats[-1:] != ["closing"]):
            lines = [telling.of_stream(stream), *map(telling.of_message, stream.messages[-2:])]
            yield "\n".join([*lines, f"ended  {stream.reason}"])
    yield from within_bounds("I16")(evidence)


def within_bounds(invariant: str) -> Callable[[Evidence], Iterator[str]]:
    """That every measurement for an invariant keeps its bound."""

    def measured(evidence: Evidence) -> Iterator[str]:
        for one in evidence.history.measurements:
            if one.invariant == invariant and not one.value <= one.bound:
                yield f"{one.what}: {one.value:g}, at most {one.bound:g} is allowed"

    return measured
