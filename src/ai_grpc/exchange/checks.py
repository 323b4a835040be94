"""What a publishable signal is. All violations of a request are found at once."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.db import json_of
from ai_grpc.errors import InvalidArgument, Violation, miscounted
from ai_grpc.v1 import signals_pb2 as pb

MAX_SIGNALS: Final = 1000
MAX_METADATA: Final = 16 * 1024
MAX_VIOLATIONS: Final = 100
MAX_FILTER_VALUES: Final = 1000

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
# Whether the text is a price.
is_price: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,6})?").fullmatch
_PRICES: Final = ("price_target", "stop_loss", "take_profit", "reference_price")
_TYPES: Final = {pb.SIGNAL_TYPE_BUY: "BUY", pb.SIGNAL_TYPE_SELL: "SELL", pb.SIGNAL_TYPE_HOLD: "HOLD"}
# The first and the last microsecond of the years 1 to 9999, which asyncpg takes for infinities.
_FIRST: Final = -62_135_596_800_000_000
_LAST: Final = 253_402_300_799_999_999
TIME_RULE: Final = "must be a time within the years 1 to 9999, but for their first and last microsecond"
PRICE_RULE: Final = "must be a decimal number of at most 9 digits before the point and 6 after it"

Row = tuple[Any, ...]
TimeField = Literal["signal_time", "market_data_time", "expire_time"]


@dataclass(frozen=True, slots=True)
class Publication:
    """The signals of one request, checked: the arguments of `append_signals` but for their request. The last of each is
    the signal as it will be read, encoded but for its create_time."""

    rows: Sequence[Row]


def publication(signals: Sequence[pb.Signal]) -> Publication:
    """Checks the signals of one request and puts them into the form in which they are read back.

    Raises InvalidArgument with all violations.
    """
    if miscount := miscounted("signals", len(signals), 1, MAX_SIGNALS):
        raise InvalidArgument(*miscount)
    rows: list[Row] = []
    violations: list[Violation] = []
    first: dict[str, int] = {}
    for index, signal in enumerate(signals):
        faults: list[tuple[str, str]] = []
        rows.append(_row(signal, faults))
        if first.setdefault(signal.signal_id, index) != index:
            faults.append(("signal_id", f"repeats that of signals[{first[signal.signal_id]}]"))
        violations += (Violation(f"signals[{index}].{field}", description) for field, description in faults)
    if violations:
        raise InvalidArgument(*violations[:MAX_VIOLATIONS])
    return Publication(rows)


def _row(signal: pb.Signal, faults: list[tuple[str, str]]) -> Row:
    signal_id, model_id = signal.signal_id, signal.model_id
    if not (signal_id + model_id).islower():
        signal.signal_id = signal_id = signal_id.lower()
        signal.model_id = model_id = model_id.lower()
    if not _UUID.fullmatch(signal_id):
        faults.append(("signal_id", "must be a UUID" if signal_id else "is required"))
    if not _is_known_uuid(model_id):
        faults.append(("model_id", "must be a UUID" if model_id else "is required"))
    symbol = signal.symbol
    if not 1 <= len(symbol) <= 32 or not symbol.isprintable() or symbol != symbol.strip():
        faults.append(("symbol", "must have 1 to 32 printable characters without spaces around them"))
    signal_type = _TYPES.get(signal.signal_type)
    if signal_type is None:
        faults.append(("signal_type", "must be BUY, SELL or HOLD"))
    confidence = _confidence(signal, faults)
    prices = [_price(signal, field, faults) for field in _PRICES]
    signal_time = _microseconds(signal, "signal_time", faults)
    market_data_time = _microseconds(signal, "market_data_time", faults)
    expire_time = _microseconds(signal, "expire_time", faults)
    if not signal.HasField("signal_time"):
        faults.append(("signal_time", "is required"))
    elif signal_time is not None and expire_time is not None and expire_time <= signal_time:
        faults.append(("expire_time", "must be after signal_time"))
    if signal.state or signal.HasField("create_time"):
        faults.append(("state" if signal.state else "create_time", "is set by the server"))
    signal.state = pb.SIGNAL_STATE_ACTIVE
    return (
        signal_id,
        model_id,
        symbol,
        signal_type,
        confidence,
        *prices,
        signal_time,
        market_data_time,
        expire_time,
        _metadata(signal, faults),
        signal.pattern_id if signal.HasField("pattern_id") else None,
        signal.trade_plan_id if signal.HasField("trade_plan_id") else None,
        signal.SerializeToString(),
    )


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID in its canonical form, in either case."""
    return _UUID.fullmatch(text) is not None


# Few models publish many signals.
_is_known_uuid = lru_cache(maxsize=1024)(is_uuid)


def _confidence(signal: pb.Signal, faults: list[tuple[str, str]]) -> float:
    given = signal.confidence
    if not signal.HasField("confidence"):
        faults.append(("confidence", "is required"))
    elif not 0 <= given <= 1:
        faults.append(("confidence", f"must be between 0 and 1, not {given:g}"))
        return 0.0
    # Adding 0.0 turns -0.0 into 0.0.
    confidence = round(given, 4) + 0.0
    if confidence != given or not given:
        signal.confidence = confidence
    return confidence


def _price(signal: pb.Signal, field: str, faults: list[tuple[str, str]]) -> str | None:
    text: str = getattr(signal, field)
    if not text:
        return None
    if not is_price(text):
        faults.append((field, PRICE_RULE))
        return None
    if text[-1] == "0" or text[0] == "-":
        text = _canonical(text)
        setattr(signal, field, text)
    return text


def _canonical(price: str) -> str:
    if "." in price:
        price = price.rstrip("0").rstrip(".")
    return "0" if price == "-0" else price


def _microseconds(signal: pb.Signal, field: TimeField, faults: list[tuple[str, str]]) -> int | None:
    if not signal.HasField(field):
        return None
    time: Timestamp = getattr(signal, field)
    seconds, nanos = time.seconds, time.nanos
    if not is_time(seconds, nanos):
        faults.append((field, TIME_RULE))
        return None
    microseconds = nanos // 1000
    if nanos != microseconds * 1000:
        time.nanos = microseconds * 1000
    return seconds * 1_000_000 + microseconds


def is_time(seconds: int, nanos: int) -> bool:
    """Whether PostgreSQL and Python can hold the time."""
    return _FIRST < seconds * 1_000_000 + nanos // 1000 < _LAST and 0 <= nanos < 1_000_000_000


def check_range(request: Any) -> None:
    """Whether the range from `start_time` to before `end_time` holds anything. Raises InvalidArgument."""
    if request.HasField("start_time") and request.HasField("end_time"):
        check_time("start_time", start := request.start_time)
        check_time("end_time", end := request.end_time)
        if (end.seconds, end.nanos) <= (start.seconds, start.nanos):
            raise InvalidArgument(Violation("end_time", "must be later than start_time"))


def check_time(field: str, time: Timestamp) -> None:
    """Whether PostgreSQL and Python can hold the time. Raises InvalidArgument."""
    if not is_time(time.seconds, time.nanos):
        raise InvalidArgument(Violation(field, TIME_RULE))


def _metadata(signal: pb.Signal, faults: list[tuple[str, str]]) -> str | None:
    if not signal.HasField("metadata"):
        return None
    try:
        text = json_of(signal.metadata)
    except ValueError as error:
        faults.append(("metadata", str(error)))
        return None
    if (size := len(text.encode())) > MAX_METADATA:
        faults.append(("metadata", f"has {size} bytes as JSON; at most {MAX_METADATA} are kept"))
    return text


def check_ids(ids: Mapping[str, Sequence[str]]) -> None:
    """Checks the fields that select by ids. Raises InvalidArgument with all violations."""
    if violations := [violation for field, values in ids.items() for violation in _id_violations(field, values)]:
        raise InvalidArgument(*violations[:MAX_VIOLATIONS])


def _id_violations(field: str, ids: Sequence[str]) -> Iterator[Violation]:
    yield from miscounted(field, len(ids), 0, MAX_FILTER_VALUES)
    for index, each in enumerate(ids[:MAX_FILTER_VALUES]):
        if not is_uuid(each):
            yield Violation(f"{field}[{index}]", "must be a UUID")


def check_selection(
    symbols: Sequence[str],
    model_ids: Sequence[str],
    enums: Iterable[tuple[str, Sequence[int], Iterable[int]]] = (),
    min_confidence: float = 0.0,
    path: str = "",
    *,
    min_severity: float = 0.0,
) -> None:
    """Checks what selects signals or anomalies: `enums` holds a field's name, its values and those that exist.

    Raises InvalidArgument with all violations.
    """
    violations = list(_id_violations(f"{path}model_ids", model_ids))
    violations += (
        Violation(f"{path}symbols[{index}]", "must have 1 to 32 characters, none of them NUL")
        for index, symbol in enumerate(symbols[:MAX_FILTER_VALUES])
        if not 1 <= len(symbol) <= 32 or "\0" in symbol
    )
    sized: list[tuple[str, Sequence[object]]] = [("symbols", symbols)]
    for field, values, known in enums:
        sized.append((field, values))
        allowed = frozenset(known) - {0}
        violations += (
            Violation(f"{path}{field}[{index}]", f"has no meaning: {value}")
            for index, value in enumerate(values[:MAX_FILTER_VALUES])
            if value not in allowed
        )
    for name, held in sized:
        violations += miscounted(f"{path}{name}", len(held), 0, MAX_FILTER_VALUES)
    if not 0 <= min_confidence <= 1:
        violations.append(Violation(f"{path}min_confidence", "must be between 0 and 1"))
    if not 0 <= min_severity < math.inf:
        violations.append(Violation(f"{path}min_severity", "must be a finite number from 0 on"))
    if violations:
        raise InvalidArgument(*violations[:MAX_VIOLATIONS])
