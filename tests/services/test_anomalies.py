"""Anomalies, from the report to the resolution."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, Final

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.v1 import anomalies_pb2 as pb
from ai_grpc.v1.anomalies_pb2_grpc import AnomalyServiceStub
from tests.anomalies import an_anomaly, anomaly, report, resolve
from tests.signals import PATIENT, a_struct, an_active_model, an_exchange, details, execute, refusal, sort_always

NOBODY: Final = str(uuid.uuid4())


async def test_a_report_holds_1_to_1000_anomalies_each_once(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        many = [an_anomaly(model) for _ in range(1001)]
        for faulty in ([], many):
            assert details(await refusal(report(channel, *faulty))).fields == ["anomalies"]
        twice = an_anomaly(model, anomaly_id=many[0].anomaly_id.upper())
        assert details(await refusal(report(channel, many[0], twice))).fields == ["anomalies[1].anomaly_id"]
        assert len((await report(channel, *many[:1000])).results) == 1000


async def test_a_report_may_be_repeated_whatever_became_of_it(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        old, new = an_anomaly(model, confidence=0.12345), an_anomaly(model)
        assert [each.duplicate for each in (await report(channel, old)).results] == [False]
        await resolve(channel, old.anomaly_id, "Over.")
        both = await report(channel, new, old)
        assert [(each.anomaly_id, each.duplicate) for each in both.results] == [
            (new.anomaly_id, False),
            (old.anomaly_id, True),
        ]
        again = await report(channel, old, new)
        assert [(each.anomaly_id, each.duplicate) for each in again.results] == [
            (old.anomaly_id, True),
            (new.anomaly_id, True),
        ]
        assert (await anomaly(channel, old.anomaly_id)).resolution_note == "Over."


async def test_of_concurrent_reports_one_is_the_first(database: str) -> None:
    async with an_exchange(database, **PATIENT) as one, an_exchange(database, **PATIENT) as other:
        model = await an_active_model(one)
        given = [an_anomaly(model) for _ in range(20)]
        responses = await asyncio.gather(*(report(channel, *given) for channel in [one, other] * 5))
        flags = zip(*([each.duplicate for each in response.results] for response in responses), strict=True)
        assert [sorted(each) for each in flags] == [[False] + [True] * 9] * 20
    assert len(await execute(database, "SELECT FROM event_log")) == 20


async def test_other_content_under_an_id_is_refused_and_nothing_is_written(
    database: str, subtests: pytest.Subtests
) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        first = an_anomaly(model, anomaly_details=a_struct(window=20))
        await report(channel, first)
        changes: dict[str, Any] = {
            "model_id": await an_active_model(channel),
            "symbol": "MSFT",
            "detection_time": Timestamp(seconds=1),
            "anomaly_type": "volume_spike",
            "severity_score": 5,
            "confidence": 0.5,
            "market_data_context": {},
            "anomaly_details": None,
        }
        given = {field.name: value for field, value in first.ListFields()}
        for field, value in changes.items():
            with subtests.test(field):
                error = await refusal(report(channel, an_anomaly(model), pb.Anomaly(**{**given, field: value})))
                assert error.code() == grpc.StatusCode.ALREADY_EXISTS
                assert details(error)[:2] == ("ANOMALY_EXISTS", {"anomaly_id": first.anomaly_id})
    assert len(await execute(database, "SELECT FROM anomaly_detections")) == 1


async def test_what_does_not_exist_is_not_found(database: str) -> None:
    async with an_exchange(database) as channel:
        for call in (anomaly(channel, NOBODY), resolve(channel, NOBODY)):
            error = await refusal(call)
            assert error.code() == grpc.StatusCode.NOT_FOUND
            assert details(error)[:2] == ("ANOMALY_NOT_FOUND", {"anomaly_id": NOBODY})
        error = await refusal(report(channel, an_anomaly(NOBODY)))
        assert (error.code(), details(error)[:2]) == (
            grpc.StatusCode.NOT_FOUND,
            ("MODEL_NOT_FOUND", {"model_id": NOBODY}),
        )


async def test_a_resolution_may_be_repeated_but_not_changed(database: str) -> None:
    async with an_exchange(database) as channel:
        open_one = an_anomaly(await an_active_model(channel))
        await report(channel, open_one)
        resolved = await resolve(channel, open_one.anomaly_id, "Volume is back to normal.")
        assert (resolved.resolved, resolved.resolution_note) == (True, "Volume is back to normal.")
        assert resolved.resolve_time.ToMicroseconds() > resolved.create_time.ToMicroseconds()
        assert await resolve(channel, open_one.anomaly_id, resolved.resolution_note) == resolved
        error = await refusal(resolve(channel, open_one.anomaly_id, "Halted."))
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert details(error)[:2] == ("ANOMALY_RESOLVED", {"anomaly_id": open_one.anomaly_id})
        assert await anomaly(channel, open_one.anomaly_id) == resolved
        long = await refusal(resolve(channel, open_one.anomaly_id, "x" * 1001))
        assert details(long).reason == "ANOMALY_RESOLVED"


async def test_a_note_has_at_most_1000_characters(database: str) -> None:
    async with an_exchange(database) as channel:
        open_one = an_anomaly(await an_active_model(channel))
        await report(channel, open_one)
        error = await refusal(resolve(channel, open_one.anomaly_id, "x" * 1001))
        assert details(error)[:3] == ("INVALID_FIELD", {}, ["resolution_note"])
        assert len((await resolve(channel, open_one.anomaly_id, "€" * 1000)).resolution_note) == 1000


async def test_of_ten_who_resolve_one_wins(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database) as other:
        open_one = an_anomaly(await an_active_model(one))
        await report(one, open_one)
        calls = [resolve(channel, open_one.anomaly_id, str(n)) for n, channel in enumerate([one, other] * 5)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        errors = [details(each).reason for each in outcomes if isinstance(each, grpc.aio.AioRpcError)]
        [won] = [each for each in outcomes if isinstance(each, pb.Anomaly)]
        assert errors == ["ANOMALY_RESOLVED"] * 9
        assert await anomaly(one, open_one.anomaly_id) == won
    assert len(await execute(database, "SELECT FROM event_log WHERE kind = 'RESOLVED'")) == 1


async def test_a_list_holds_what_all_its_fields_select_latest_first(database: str) -> None:
    async with an_exchange(database) as channel:
        one, two = [await an_active_model(channel) for _ in range(2)]
        given = [
            an_anomaly(one, detection_time=Timestamp(seconds=1)),
            an_anomaly(two, detection_time=Timestamp(seconds=2), symbol="MSFT", severity_score=9),
            an_anomaly(one, detection_time=Timestamp(seconds=3), anomaly_type="volume_spike"),
            an_anomaly(two, detection_time=Timestamp(seconds=4), symbol="TSLA", severity_score=0.5),
        ]
        await report(channel, *given)
        await resolve(channel, given[2].anomaly_id)
        selections: list[tuple[dict[str, Any], list[int]]] = [
            ({}, [4, 3, 2, 1]),
            ({"open_only": True}, [4, 2, 1]),
            ({"min_severity": 4.25}, [3, 2, 1]),
            ({"symbols": ["MSFT"]}, [2]),
            ({"symbols": ["MSFT", "TSLA", "NONE"]}, [4, 2]),
            ({"model_ids": [two.upper()]}, [4, 2]),
            ({"model_ids": [one, two]}, [4, 3, 2, 1]),
            ({"anomaly_type": "volume_spike"}, [3]),
            ({"start_time": Timestamp(seconds=2), "end_time": Timestamp(seconds=4)}, [3, 2]),
            ({"symbols": ["AAPL"], "model_ids": [one], "open_only": True, "min_severity": 1}, [1]),
        ]
        for selection, expected in selections:
            page = await AnomalyServiceStub(channel).ListAnomalies(pb.ListAnomaliesRequest(**selection))
            assert [each.detection_time.seconds for each in page.anomalies] == expected, selection


async def test_all_pages_together_hold_every_anomaly_once_even_of_one_time(database: str) -> None:
    await sort_always(database)
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        given = [an_anomaly(model) for _ in range(7)]
        await report(channel, *given)
        pages, request = [pb.ListAnomaliesResponse()], pb.ListAnomaliesRequest(page_size=3, symbols=["AAPL"])
        while len(pages) == 1 or request.page_token:
            pages.append(await AnomalyServiceStub(channel).ListAnomalies(request))
            request.page_token = pages[-1].next_page_token
        assert [len(page.anomalies) for page in pages[1:]] == [3, 3, 1]
        listed = [each.anomaly_id for page in pages for each in page.anomalies]
        assert sorted(listed) == sorted(each.anomaly_id for each in given)
