"""Events of the log as a filter looks at them, told apart from how the product does it."""

from __future__ import annotations

from collections.abc import Callable

from ai_grpc.v1 import signals_pb2 as pb
from tests.chaos.history import Entry


def entry_of(sequence: int, kind: str, signal_id: str, content: bytes) -> Entry:
    """An event of the log by what was said of its signal."""
    signal = pb.Signal.FromString(content)
    signal_type = pb.SignalType.Name(signal.signal_type).removeprefix("SIGNAL_TYPE_")
    return Entry(sequence, kind, signal_id, content, signal.symbol, signal.model_id, signal_type, signal.confidence)


def matcher(selection: pb.SignalFilter) -> Callable[[Entry], bool]:
    """Whether a filter lets an event through: AND between its fields, OR inside one, unset fields say nothing."""
    symbols, model_ids = set(selection.symbols), set(selection.model_ids)
    types = {pb.SignalType.Name(value).removeprefix("SIGNAL_TYPE_") for value in selection.signal_types}
    kinds = {pb.SignalEvent.Kind.Name(value).removeprefix("KIND_") for value in selection.kinds}

    def matches(entry: Entry) -> bool:
        if symbols and entry.symbol not in symbols:
            return False
        if model_ids and entry.model_id not in model_ids:
            return False
        if types and entry.signal_type not in types:
            return False
        if kinds and entry.kind not in kinds:
            return False
        return entry.confidence >= selection.min_confidence

    return matches
