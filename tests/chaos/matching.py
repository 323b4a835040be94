"""Events of the log as a filter looks at them, told apart from how the product does it."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from google.protobuf.message import Message

from tests.chaos.history import Entry
from tests.chaos.nouns import noun_of, noun_of_kind

# Of the fields of filters.
FACTS: Final[dict[str, Callable[[Entry], Any]]] = {
    "symbols": attrgetter("message.symbol"),
    "model_ids": attrgetter("message.model_id"),
    "run_ids": attrgetter("message.run_id"),
    "signal_types": attrgetter("message.signal_type"),
    "kinds": lambda entry: f"KIND_{entry.kind.partition(' ')[0]}",
    "min_confidence": attrgetter("message.confidence"),
    "min_severity": attrgetter("message.severity_score"),
}


def entry_of(sequence: int, kind: str, key: str, content: bytes) -> Entry:
    """An event of the log by what was said of its subject."""
    return Entry(sequence, kind, key, content, noun_of_kind(kind).message.FromString(content))


def matcher(selection: Message) -> Callable[[Entry], bool]:
    """Whether a filter lets an event through: AND between its fields, OR inside one, unset fields say nothing."""
    message, tests = noun_of(selection).message, [_test(field, value) for field, value in selection.ListFields()]

    def matches(entry: Entry) -> bool:
        return isinstance(entry.message, message) and all(test(entry) for test in tests)

    return matches


def _test(field: Any, value: Any) -> Callable[[Entry], bool]:
    fact = FACTS[field.name]
    if field.name.startswith("min_"):
        return lambda entry: bool(fact(entry) >= value)
    some = {field.enum_type.values_by_number[each].name for each in value} if field.name == "kinds" else set(value)
    return lambda entry: fact(entry) in some
