"""How sure a model was, and how often it was right."""

from __future__ import annotations

import random

import pytest

from ai_grpc.v1 import performance_pb2 as pb
from ai_grpc.v1 import signals_pb2
from ai_grpc.v1.performance_pb2_grpc import PerformanceServiceStub
from ai_grpc.v1.periods_pb2 import Period
from tests.performance import an_evaluation, on_day, record, signals
from tests.signals import an_active_model, an_exchange


async def test_calibration_compares_confidence_with_success(database: str) -> None:
    pick = random.Random(3)
    made = [(round(pick.random(), 4), pick.random() < 0.6) for _ in range(200)]
    made += [(0.0, True), (0.1, False), (0.2, True), (1.0, True), (1.0, False)]
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        ids = await signals(channel, model_id, *({"confidence": confidence} for confidence, _ in made))
        await record(
            channel,
            *(
                an_evaluation(signal_id, price_change_pct=1.0 if right else -1.0)
                for signal_id, (_, right) in zip(ids, made, strict=True)
            ),
        )
        stub = PerformanceServiceStub(channel)
        for count in (0, 1, 4, 100):
            found = await stub.GetCalibration(pb.GetCalibrationRequest(model_id=model_id, bucket_count=count))
            assert_calibrated(found, made, count or 10)


def assert_calibrated(found: pb.GetCalibrationResponse, made: list[tuple[float, bool]], count: int) -> None:
    buckets: dict[int, list[tuple[float, bool]]] = {}
    for confidence, right in made:
        # In ten-thousandths, which are exact.
        buckets.setdefault(min(round(confidence * 10_000) * count // 10_000, count - 1), []).append((confidence, right))
    error = 0.0
    for bucket, (number, members) in zip(found.buckets, sorted(buckets.items()), strict=True):
        confidence = sum(confidence for confidence, _ in members) / len(members)
        rate = sum(right for _, right in members) / len(members)
        assert (bucket.min_confidence, bucket.max_confidence) == (number / count, (number + 1) / count)
        assert bucket.evaluated_signals == len(members)
        assert (bucket.avg_confidence, bucket.hit_rate) == pytest.approx((confidence, rate), rel=1e-9)
        error += len(members) * abs(rate - confidence)
    assert found.evaluated_signals == len(made)
    assert found.expected_calibration_error == pytest.approx(error / len(made), rel=1e-9)


async def test_calibration_looks_at_what_was_evaluated_in_the_period(database: str) -> None:
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        one, other, hold = await signals(
            channel, model_id, {"confidence": 0.9}, {"confidence": 0.7}, {"signal_type": signals_pb2.SIGNAL_TYPE_HOLD}
        )
        await record(
            channel,
            an_evaluation(one, evaluation_time=on_day(0), price_change_pct=-1.0),
            an_evaluation(one, evaluation_time=on_day(1)),
            an_evaluation(other, evaluation_time=on_day(5)),
            an_evaluation(hold),
        )
        stub = PerformanceServiceStub(channel)
        for end, expected in (("2026-01-02", [(1, 0.9, 0.0)]), ("2026-01-03", [(1, 0.9, 1.0)])):
            period = Period(start_date="2026-01-01", end_date=end)
            found = await stub.GetCalibration(pb.GetCalibrationRequest(model_id=model_id, evaluation_period=period))
            assert [(each.evaluated_signals, each.avg_confidence, each.hit_rate) for each in found.buckets] == expected
        found = await stub.GetCalibration(pb.GetCalibrationRequest(model_id=model_id))
        assert (found.evaluated_signals, len(found.buckets)) == (2, 2)


async def test_without_evaluations_there_is_no_calibration(database: str) -> None:
    async with an_exchange(database) as channel:
        request = pb.GetCalibrationRequest(model_id=await an_active_model(channel))
        found = await PerformanceServiceStub(channel).GetCalibration(request)
        assert found == pb.GetCalibrationResponse()
