"""Analyses in the frequency domain, as a model records them and others look them up."""

from __future__ import annotations

import asyncio
import json
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

from ai_grpc.v1 import spectra_pb2 as pb
from ai_grpc.v1.spectra_pb2_grpc import SpectrumServiceStub
from tests.signals import a_struct, a_struct_of, an_active_model, an_exchange, details, execute, refusal, sort_always

NOBODY: Final = str(uuid.uuid4())
ARRAYS: Final = ("dominant_frequencies", "amplitudes", "phases", "significance_scores")

# The specification's.
COMPONENTS: Final[dict[str, list[float]]] = {
    "dominant_frequencies": [0.05, 0.12, 0.25],
    "amplitudes": [15.2, 8.7, 5.1],
    "phases": [0.2, 1.1, 2.8],
    "significance_scores": [0.95, 0.87, 0.72],
}
EXAMPLE: Final[dict[str, Any]] = {
    "symbol": "AAPL",
    "analysis_time": "2025-01-31T14:30:00.000001Z",
    "analysis_type": "fourier",
    "frequency_components": COMPONENTS,
    "spectral_features": {"entropy": 0.42, "bands": [1, 2.5], "window": None},
    "pattern_detected": "weekly cycle",
    "pattern_confidence": 0.9123,
    "reconstruction_error": 0.0123456789,
    "anomaly_score": 1.5,
}

FAULTS: Final[list[tuple[str, Any, str]]] = [
    ("analysis_id", "", "analysis_id"),
    ("analysis_id", "cycle", "analysis_id"),
    ("model_id", "", "model_id"),
    ("symbol", "", "symbol"),
    ("symbol", "x" * 33, "symbol"),
    ("symbol", "a\0b", "symbol"),
    ("analysis_time", None, "analysis_time"),
    ("analysis_time", Timestamp(seconds=10**12), "analysis_time"),
    ("analysis_type", "", "analysis_type"),
    ("analysis_type", "x" * 51, "analysis_type"),
    *(
        ("frequency_components", {**COMPONENTS, name: values}, f"frequency_components.{name}")
        for name in ARRAYS[1:]
        for values in ([], [1, 2], [1, 2, 3, 4], [1, 2, math.nan])
    ),
    ("frequency_components", {name: [0.1] * 1001 for name in ARRAYS}, "frequency_components.dominant_frequencies"),
    ("frequency_components", {name: [math.inf] for name in ARRAYS}, "frequency_components.dominant_frequencies"),
    ("frequency_components", {name: [1e300] * 1000 for name in ARRAYS}, "frequency_components"),
    ("spectral_features", a_struct(text="x" * 65_536), "spectral_features"),
    ("spectral_features", a_struct(rate=math.nan), "spectral_features"),
    ("pattern_detected", "x" * 101, "pattern_detected"),
    ("pattern_confidence", 1.00001, "pattern_confidence"),
    ("pattern_confidence", -0.1, "pattern_confidence"),
    ("pattern_confidence", 1e300, "pattern_confidence"),
    ("pattern_confidence", math.nan, "pattern_confidence"),
    ("reconstruction_error", math.inf, "reconstruction_error"),
    ("reconstruction_error", math.nan, "reconstruction_error"),
    ("anomaly_score", -math.inf, "anomaly_score"),
    ("create_time", Timestamp(seconds=1), "create_time"),
]

REQUEST_FAULTS: Final[list[tuple[str, Any, str]]] = [
    ("GetSpectrumAnalysis", pb.GetSpectrumAnalysisRequest(), "analysis_id"),
    ("GetSpectrumAnalysis", pb.GetSpectrumAnalysisRequest(analysis_id="cycle"), "analysis_id"),
    ("ListSpectrumAnalyses", pb.ListSpectrumAnalysesRequest(page_size=-1), "page_size"),
    ("ListSpectrumAnalyses", pb.ListSpectrumAnalysesRequest(page_token="next"), "page_token"),
    ("ListSpectrumAnalyses", pb.ListSpectrumAnalysesRequest(symbol="a\0b"), "symbol"),
    ("ListSpectrumAnalyses", pb.ListSpectrumAnalysesRequest(model_id="trend"), "model_id"),
    ("ListSpectrumAnalyses", pb.ListSpectrumAnalysesRequest(start_time=Timestamp(nanos=-1)), "start_time"),
    ("ListSpectrumAnalyses", pb.ListSpectrumAnalysesRequest(end_time=Timestamp(seconds=10**12)), "end_time"),
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
TABLES: Final = st.lists(st.tuples(*[NUMBERS] * 4), max_size=20).map(
    lambda rows: {name: [row[place] for row in rows] for place, name in enumerate(ARRAYS)}
)
GOOD: Final = st.fixed_dictionaries(
    {
        "symbol": st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=32),
        "analysis_time": st.builds(
            lambda seconds, micros: Timestamp(seconds=seconds, nanos=micros * 1000),
            st.integers(-62_135_596_799, 253_402_300_798),
            st.integers(0, 999_999),
        ),
        "analysis_type": TEXT.filter(bool),
    },
    optional={
        "frequency_components": TABLES,
        "spectral_features": st.dictionaries(TEXT, st.none() | NUMBERS | TEXT | st.lists(NUMBERS), max_size=3),
        "pattern_detected": TEXT,
        "pattern_confidence": st.integers(0, 10_000).map(lambda number: number / 10_000),
        "reconstruction_error": NUMBERS,
        "anomaly_score": NUMBERS,
    },
)


def an_analysis(**changes: Any) -> pb.SpectrumAnalysis:
    """An analysis that can be recorded once it has a model, but for the changes; None leaves a field unset."""
    fields = {"analysis_id": str(uuid.uuid4()), "symbol": "AAPL", "analysis_type": "fourier"}
    return pb.SpectrumAnalysis(**{**fields, "analysis_time": Timestamp(seconds=1_700_000_000), **changes})


async def record(channel: grpc.aio.Channel, analysis: pb.SpectrumAnalysis) -> pb.RecordSpectrumAnalysisResponse:
    request = pb.RecordSpectrumAnalysisRequest(analysis=analysis)
    return await SpectrumServiceStub(channel).RecordSpectrumAnalysis(request)


async def test_the_example_comes_out_as_it_went_in(database: str) -> None:
    async with an_exchange(database) as channel:
        analysis = ParseDict(EXAMPLE, an_analysis(model_id=await an_active_model(channel)))
        recorded = await record(channel, analysis)
        fields = MessageToDict(recorded.analysis, preserving_proto_field_name=True)
        assert {name: fields[name] for name in EXAMPLE} == EXAMPLE
        request = pb.GetSpectrumAnalysisRequest(analysis_id=analysis.analysis_id)
        assert (await SpectrumServiceStub(channel).GetSpectrumAnalysis(request)).analysis == recorded.analysis
    [(stored, error)] = await execute(
        database, "SELECT frequency_components::text, reconstruction_error FROM spectrum_analysis"
    )
    assert (json.loads(stored), error) == (COMPONENTS, EXAMPLE["reconstruction_error"])


@BOUNDED
@given(content=GOOD, fault=st.sampled_from(FAULTS))
async def test_what_was_recorded_is_read_as_it_was_given_and_what_is_wrong_is_not_written(
    database: str, content: dict[str, Any], fault: tuple[str, Any, str]
) -> None:
    async with an_exchange(database) as channel:
        analysis = an_analysis(model_id=await an_active_model(channel), **content)
        recorded = await record(channel, analysis)
        assert await record(channel, analysis) == pb.RecordSpectrumAnalysisResponse(
            analysis=recorded.analysis, duplicate=True
        )
        wrong = {"model_id": analysis.model_id, **content, fault[0]: fault[1]}
        error = await refusal(record(channel, an_analysis(**wrong)))
        assert details(error)[:3] == ("INVALID_FIELD", {}, [f"analysis.{fault[2]}"])
        page = await SpectrumServiceStub(channel).ListSpectrumAnalyses(
            pb.ListSpectrumAnalysesRequest(model_id=analysis.model_id)
        )
        analysis.create_time.CopyFrom(recorded.analysis.create_time)
        assert list(page.analyses) == [recorded.analysis] == [analysis]


async def test_the_field_at_fault_is_named(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        for name, value, field in FAULTS:
            with subtests.test(field, value=str(value)[:60]):
                error = await refusal(record(channel, an_analysis(**{"model_id": model, name: value})))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, [f"analysis.{field}"])
        for method, request, field in REQUEST_FAULTS:
            with subtests.test(method, field=field):
                error = await refusal(getattr(SpectrumServiceStub(channel), method)(request))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, [field])
    assert await execute(database, "SELECT FROM spectrum_analysis") == []


async def test_what_is_as_large_as_it_may_be_is_stored(database: str) -> None:
    async with an_exchange(database) as channel:
        large = an_analysis(
            model_id=await an_active_model(channel),
            symbol="€" * 32,
            analysis_type="€" * 50,
            pattern_detected="€" * 100,
            frequency_components={name: [0.5] * 1000 for name in ARRAYS},
            spectral_features=a_struct_of(65_536),
        )
        recorded = (await record(channel, large)).analysis
        recorded.ClearField("create_time")
        assert recorded == large


async def test_who_writes_by_hand_writes_what_can_be_read(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        analysis = an_analysis(model_id=await an_active_model(channel), frequency_components=COMPONENTS)
        await record(channel, analysis)
    for change in (
        "frequency_components - 'phases'",
        "frequency_components || '{\"powers\": [1, 2, 3]}'",
        "jsonb_set(frequency_components, '{phases, 1}', '\"high\"')",
    ):
        with subtests.test(change), pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await execute(database, f"UPDATE spectrum_analysis SET frequency_components = {change}")


async def test_an_empty_request_lacks_both_ids(database: str) -> None:
    async with an_exchange(database) as channel:
        error = await refusal(SpectrumServiceStub(channel).RecordSpectrumAnalysis(pb.RecordSpectrumAnalysisRequest()))
        assert details(error)[:3] == ("INVALID_FIELD", {}, ["analysis.analysis_id", "analysis.model_id"])


async def test_other_content_under_an_id_is_refused(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        first = ParseDict(EXAMPLE, an_analysis(model_id=await an_active_model(channel)))
        await record(channel, first)
        changes: dict[str, Any] = {
            "model_id": await an_active_model(channel),
            "symbol": "MSFT",
            "analysis_time": Timestamp(seconds=1),
            "analysis_type": "wavelet",
            "frequency_components": {**COMPONENTS, "phases": [0.2, 1.1, 2.81]},
            "spectral_features": None,
            "pattern_detected": "cycle",
            "pattern_confidence": 0.9124,
            "reconstruction_error": 0.0123456788,
            "anomaly_score": None,
        }
        given = {field.name: value for field, value in first.ListFields()}
        assert {*changes, "analysis_id"} == {*given}
        for field, value in changes.items():
            with subtests.test(field):
                error = await refusal(record(channel, pb.SpectrumAnalysis(**{**given, field: value})))
                assert error.code() == grpc.StatusCode.ALREADY_EXISTS
                assert details(error)[:2] == ("SPECTRUM_ANALYSIS_EXISTS", {"analysis_id": first.analysis_id})
        assert (await record(channel, first)).duplicate


async def test_of_concurrent_recordings_one_is_the_first(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database) as other:
        analysis = an_analysis(model_id=await an_active_model(one))
        responses = await asyncio.gather(*(record(channel, analysis) for channel in [one, other] * 5))
        assert sorted(response.duplicate for response in responses) == [False] + [True] * 9


async def test_what_does_not_exist_is_not_found(database: str) -> None:
    async with an_exchange(database) as channel:
        error = await refusal(
            SpectrumServiceStub(channel).GetSpectrumAnalysis(pb.GetSpectrumAnalysisRequest(analysis_id=NOBODY))
        )
        assert error.code() == grpc.StatusCode.NOT_FOUND
        assert details(error)[:2] == ("SPECTRUM_ANALYSIS_NOT_FOUND", {"analysis_id": NOBODY})
        error = await refusal(record(channel, an_analysis(model_id=NOBODY)))
        assert error.code() == grpc.StatusCode.NOT_FOUND
        assert details(error)[:2] == ("MODEL_NOT_FOUND", {"model_id": NOBODY})


async def test_a_list_holds_what_all_its_fields_select_latest_first(database: str) -> None:
    async with an_exchange(database) as channel:
        one, two = [await an_active_model(channel) for _ in range(2)]
        for analysis in (
            an_analysis(model_id=one, analysis_time=Timestamp(seconds=1), pattern_detected="cycle"),
            an_analysis(model_id=two, analysis_time=Timestamp(seconds=2), symbol="MSFT"),
            an_analysis(model_id=one, analysis_time=Timestamp(seconds=3), analysis_type="wavelet"),
            an_analysis(model_id=two, analysis_time=Timestamp(seconds=4), pattern_detected="cycle"),
        ):
            await record(channel, analysis)
        selections: list[tuple[dict[str, Any], list[int]]] = [
            ({}, [4, 3, 2, 1]),
            ({"symbol": "AAPL"}, [4, 3, 1]),
            ({"analysis_type": "wavelet"}, [3]),
            ({"pattern_detected": "cycle"}, [4, 1]),
            ({"model_id": two.upper()}, [4, 2]),
            ({"start_time": Timestamp(seconds=2), "end_time": Timestamp(seconds=4)}, [3, 2]),
            ({"symbol": "AAPL", "analysis_type": "fourier", "pattern_detected": "cycle", "model_id": one}, [1]),
        ]
        for selection, expected in selections:
            page = await SpectrumServiceStub(channel).ListSpectrumAnalyses(pb.ListSpectrumAnalysesRequest(**selection))
            assert [each.analysis_time.seconds for each in page.analyses] == expected, selection


async def test_all_pages_together_hold_every_analysis_once_even_of_one_time(database: str) -> None:
    await sort_always(database)
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        given = [an_analysis(model_id=model) for _ in range(7)]
        for analysis in given:
            await record(channel, analysis)
        pages, request = [pb.ListSpectrumAnalysesResponse()], pb.ListSpectrumAnalysesRequest(page_size=3)
        while len(pages) == 1 or request.page_token:
            pages.append(await SpectrumServiceStub(channel).ListSpectrumAnalyses(request))
            request.page_token = pages[-1].next_page_token
        assert [len(page.analyses) for page in pages[1:]] == [3, 3, 1]
        listed = [each.analysis_id for page in pages for each in page.analyses]
        assert sorted(listed) == sorted(each.analysis_id for each in given)
