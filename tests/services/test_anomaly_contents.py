"""What an anomaly may say: that is read as it was given, and what it may not say is named."""

from __future__ import annotations

import math
import uuid
from typing import Any, Final

import asyncpg
import grpc
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ai_grpc.v1 import anomalies_pb2 as pb
from ai_grpc.v1.anomalies_pb2_grpc import AnomalyServiceStub
from tests.anomalies import an_anomaly, anomaly, events, report, resolve, watch
from tests.signals import a_struct, a_struct_of, an_active_model, an_exchange, details, execute, refusal
from tests.streams import started

NOBODY: Final = str(uuid.uuid4())

# As the specification describes the columns.
EXAMPLE: Final[dict[str, Any]] = {
    "symbol": "AAPL",
    "detection_time": "2025-01-31T14:30:00.250Z",
    "anomaly_type": "volume_spike",
    "severity_score": 4.1275,
    "confidence": 0.8765,
    "market_data_context": {"volume_ratio": 6.5, "spread": None, "halted": False},
    "anomaly_details": {"window": [1, 2, 3], "detector": {"name": "z-score", "threshold": 4}},
}

FAULTS: Final[list[tuple[str, Any, str]]] = [
    ("anomaly_id", "", "anomaly_id"),
    ("anomaly_id", "spike", "anomaly_id"),
    ("anomaly_id", uuid.uuid4().hex, "anomaly_id"),
    ("model_id", "trend", "model_id"),
    ("model_id", "", "model_id"),
    ("symbol", "", "symbol"),
    ("symbol", "x" * 33, "symbol"),
    ("symbol", "a\0b", "symbol"),
    ("detection_time", None, "detection_time"),
    ("detection_time", Timestamp(nanos=-1), "detection_time"),
    ("detection_time", Timestamp(seconds=10**12), "detection_time"),
    ("anomaly_type", "", "anomaly_type"),
    ("anomaly_type", "x" * 51, "anomaly_type"),
    ("severity_score", None, "severity_score"),
    ("severity_score", -0.5, "severity_score"),
    ("severity_score", math.inf, "severity_score"),
    ("severity_score", math.nan, "severity_score"),
    ("confidence", 1.00001, "confidence"),
    ("confidence", -1e300, "confidence"),
    ("confidence", 12.0, "confidence"),
    ("confidence", math.inf, "confidence"),
    ("confidence", math.nan, "confidence"),
    ("market_data_context", a_struct(text="x" * 65_536), "market_data_context"),
    ("market_data_context", a_struct(rate=math.nan), "market_data_context"),
    ("anomaly_details", a_struct(text="x" * 65_536), "anomaly_details"),
    ("anomaly_details", a_struct(text="a\0b"), "anomaly_details"),
    ("resolved", True, "resolved"),
    ("resolve_time", Timestamp(seconds=1), "resolve_time"),
    ("resolution_note", "Over.", "resolution_note"),
    ("create_time", Timestamp(seconds=1), "create_time"),
]

LIST_FAULTS: Final = [
    (pb.ListAnomaliesRequest(page_size=-1), ["page_size"]),
    (pb.ListAnomaliesRequest(page_token="next"), ["page_token"]),
    (pb.ListAnomaliesRequest(symbols=["AAPL", ""], model_ids=["trend"]), ["model_ids[0]", "symbols[1]"]),
    (pb.ListAnomaliesRequest(symbols=["AAPL"] * 1001), ["symbols"]),
    (pb.ListAnomaliesRequest(anomaly_type="a\0b"), ["anomaly_type"]),
    (pb.ListAnomaliesRequest(min_severity=math.nan), ["min_severity"]),
    (pb.ListAnomaliesRequest(min_severity=-1), ["min_severity"]),
    (pb.ListAnomaliesRequest(start_time=Timestamp(seconds=10**12)), ["start_time"]),
    (pb.ListAnomaliesRequest(end_time=Timestamp(nanos=-1)), ["end_time"]),
]

# Each example runs a server: looking for the smallest one that fails would take minutes.
BOUNDED: Final = settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
TEXT: Final = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50)
# PostgreSQL knows no negative zero.
NUMBERS: Final = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
STRUCTS: Final = st.dictionaries(TEXT, st.none() | st.booleans() | NUMBERS | TEXT | st.lists(NUMBERS), max_size=3)
TIMES: Final = st.builds(
    lambda seconds, micros: Timestamp(seconds=seconds, nanos=micros * 1000),
    st.integers(-62_135_596_799, 253_402_300_798),
    st.integers(0, 999_999),
)
GOOD: Final = st.fixed_dictionaries(
    {
        "symbol": st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=32),
        "detection_time": TIMES,
        "anomaly_type": TEXT.filter(bool),
        "severity_score": st.floats(0, allow_infinity=False).map(lambda number: number + 0.0),
    },
    optional={
        "confidence": st.integers(0, 10_000).map(lambda number: number / 10_000),
        "market_data_context": STRUCTS,
        "anomaly_details": STRUCTS,
    },
)


def changed(model: str, name: str, value: object) -> pb.Anomaly:
    """An anomaly of which one field is another."""
    return an_anomaly(**{"model_id": model, name: value})


async def test_the_example_comes_out_as_it_went_in(database: str) -> None:
    async with an_exchange(database) as channel:
        given = ParseDict(EXAMPLE, an_anomaly(await an_active_model(channel)))
        await report(channel, given)
        stored = await anomaly(channel, given.anomaly_id)
        fields = MessageToDict(stored, preserving_proto_field_name=True)
        assert {name: fields[name] for name in EXAMPLE} == EXAMPLE
        assert (stored.resolved, stored.HasField("resolve_time"), stored.create_time.seconds > 0) == (
            False,
            False,
            True,
        )
    [row] = await execute(database, "SELECT * FROM anomaly_detections")
    assert (row["anomaly_type"], str(row["confidence"]), row["resolved"]) == ("volume_spike", "0.8765", False)


@BOUNDED
@given(contents=st.lists(GOOD, min_size=1, max_size=20), fault=st.sampled_from(FAULTS), data=st.data())
async def test_what_was_reported_is_read_as_it_was_given_and_what_is_wrong_is_not_written(
    database: str, contents: list[dict[str, Any]], fault: tuple[str, Any, str], data: Any
) -> None:
    async with an_exchange(database) as channel:
        model, live = await an_active_model(channel), watch(channel)
        await started(live)
        given = [an_anomaly(model, **content) for content in contents]
        await report(channel, *given)
        again = await report(channel, *given)
        assert [result.duplicate for result in again.results] == [True] * len(given)
        for each in given:
            each.anomaly_id = str(uuid.uuid4())
        place = data.draw(st.integers(0, len(given)))
        error = await refusal(report(channel, *given[:place], changed(model, *fault[:2]), *given[place:]))
        assert details(error)[:3] == ("INVALID_FIELD", {}, [f"anomalies[{place}].{fault[2]}"])
        page = await AnomalyServiceStub(channel).ListAnomalies(pb.ListAnomaliesRequest(model_ids=[model]))
        listed = {each.anomaly_id: each for each in page.anomalies}
        stored = [listed.pop(result.anomaly_id) for result in again.results]
        for own, other in zip(given, stored, strict=True):
            own.MergeFrom(pb.Anomaly(anomaly_id=other.anomaly_id, create_time=other.create_time))
        assert (stored, listed) == (given, {})
        assert [event.anomaly for event in await events(live, len(given))] == given


async def test_what_is_as_large_as_it_may_be_is_stored(database: str) -> None:
    async with an_exchange(database) as channel:
        free_form = {name: a_struct_of(65_536) for name in ("market_data_context", "anomaly_details")}
        large = an_anomaly(await an_active_model(channel), symbol="€" * 32, anomaly_type="€" * 50, **free_form)
        await report(channel, large)
        stored = await anomaly(channel, large.anomaly_id)
        stored.ClearField("create_time")
        assert stored == large


async def test_who_writes_by_hand_resolves_whole_anomalies(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        await report(channel, an_anomaly(await an_active_model(channel)))
    for change in ("resolution_note = 'Over.'", "resolution_timestamp = now()"):
        with subtests.test(change), pytest.raises(asyncpg.CheckViolationError):
            await execute(database, f"UPDATE anomaly_detections SET {change}")


async def test_the_field_at_fault_is_named(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        for name, value, field in FAULTS:
            with subtests.test(name, value=str(value)[:20]):
                error = await refusal(report(channel, an_anomaly(model), changed(model, name, value)))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, [f"anomalies[1].{field}"])
        for request, fields in LIST_FAULTS:
            with subtests.test(str(fields)):
                error = await refusal(AnomalyServiceStub(channel).ListAnomalies(request))
                assert details(error)[:3] == ("INVALID_FIELD", {}, fields)
        for note, id_, field in (
            ("a\0b", NOBODY, "resolution_note"),
            ("", "spike", "anomaly_id"),
            ("", "", "anomaly_id"),
        ):
            with subtests.test(field):
                assert details(await refusal(resolve(channel, id_, note)))[:3] == ("INVALID_FIELD", {}, [field])
    assert await execute(database, "SELECT FROM anomaly_detections") == []
