"""What a study says that it recorded is what the service has."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from grpc import aio

from ai_grpc.demo.breeding import Breeder
from ai_grpc.demo.features import FEATURE_SET, vectors
from ai_grpc.demo.jumps import jumps
from ai_grpc.demo.prices import load
from ai_grpc.demo.spectrum import analyse
from ai_grpc.demo.study import study
from ai_grpc.v1 import anomalies_pb2, anomalies_pb2_grpc, features_pb2, features_pb2_grpc, spectra_pb2, spectra_pb2_grpc

SERIES = load("GOOG")


@pytest.fixture
async def model_id(channel: aio.Channel) -> str:
    return await Breeder(channel, seed=1, population=10, generations=1).register(SERIES, "1")


async def test_features_are_those_of_the_trading_part(channel: aio.Channel, model_id: str) -> None:
    studied = await study(channel, SERIES, model_id)
    stub: features_pb2_grpc.FeatureServiceAsyncStub = features_pb2_grpc.FeatureServiceStub(channel)
    request = features_pb2.ReadFeaturesRequest(feature_set_name=FEATURE_SET, symbols=["GOOG"])
    request.start_time.FromDatetime(SERIES.times[0])
    request.end_time.FromDatetime(SERIES.times[-1] + timedelta(days=1))
    found = [vector async for response in stub.ReadFeatures(request, timeout=10) for vector in response.vectors]
    expected = list(vectors(SERIES))
    assert len(found) == len(expected) == studied.vectors
    assert [(one.event_time, one.features) for one in found] == [(one.event_time, one.features) for one in expected]


async def test_spectrum_is_that_of_the_returns_before(channel: aio.Channel, model_id: str) -> None:
    studied = await study(channel, SERIES, model_id)
    stub: spectra_pb2_grpc.SpectrumServiceAsyncStub = spectra_pb2_grpc.SpectrumServiceStub(channel)
    request = spectra_pb2.ListSpectrumAnalysesRequest(model_id=model_id)
    (found,) = (await stub.ListSpectrumAnalyses(request, timeout=10)).analyses
    expected = analyse(np.diff(np.log(SERIES.close[: SERIES.split])))
    components = found.frequency_components
    assert components.dominant_frequencies == expected.frequencies
    assert components.amplitudes == expected.amplitudes
    assert components.phases == expected.phases
    assert components.significance_scores == expected.significance
    assert found.reconstruction_error == expected.error
    assert (studied.cycle, studied.significance) == (1 / expected.frequencies[0], expected.significance[0])
    assert bool(found.pattern_detected) == (expected.significance[0] >= 0.95)


async def test_anomalies_are_the_jumps_and_a_second_study_adds_nothing(channel: aio.Channel, model_id: str) -> None:
    studied = await study(channel, SERIES, model_id)
    assert await study(channel, SERIES, model_id) == studied
    stub: anomalies_pb2_grpc.AnomalyServiceAsyncStub = anomalies_pb2_grpc.AnomalyServiceStub(channel)
    found = (await stub.ListAnomalies(anomalies_pb2.ListAnomaliesRequest(model_ids=[model_id]), timeout=10)).anomalies
    expected = {SERIES.times[jump.bar].timestamp(): abs(jump.deviations) for jump in jumps(SERIES)}
    assert {one.detection_time.seconds: one.severity_score for one in found} == expected
    assert len(found) == studied.jumps > 0
    assert all(one.severity_score > 4 and one.anomaly_type == "price_jump" for one in found)
