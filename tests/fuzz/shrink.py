"""The smallest input that still fails, as far as a bounded search finds it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Final

from tests.fuzz.inputs import Input
from tests.fuzz.wire import DELIMITED, join, split

MOST_CALLS: Final = 300


async def shrunk(sent: Input, fails: Callable[[Input], Awaitable[bool]]) -> Input:
    """Leaves out messages, then fields on any level, then bytes, for as long as it fails."""
    calls = 0
    candidates = _smaller(sent)
    while calls < MOST_CALLS and (candidate := next(candidates, None)) is not None:
        calls += 1
        if await fails(candidate):
            sent, candidates = candidate, _smaller(candidate)
    return sent


def _smaller(sent: Input) -> Iterator[Input]:
    for place, message in enumerate(sent.messages):
        before, after = sent.messages[:place], sent.messages[place + 1 :]
        if before or after:
            yield replace(sent, messages=before + after)
        for shorter in _shorter(message):
            yield replace(sent, messages=(*before, shorter, *after))


def _shorter(data: bytes) -> Iterator[bytes]:
    """Halves of the fields first, then single ones, then what is within them; bytes where there are no fields."""
    fields = split(data)
    if not fields:
        yield from _pieces_removed(data)
        return
    size = len(fields)
    while size:
        for start in range(0, len(fields), size):
            yield join(fields[:start] + fields[start + size :])
        size //= 2
    for place, field in enumerate(fields):
        if field.kind == DELIMITED:
            for value in _shorter(field.value):
                yield join([*fields[:place], field._replace(value=value), *fields[place + 1 :]])


def _pieces_removed(data: bytes) -> Iterator[bytes]:
    size = len(data)
    while size:
        for start in range(0, len(data), size):
            yield data[:start] + data[start + size :]
        size //= 2
