"""What a model finds in the prices of a symbol beside its signals: features, cycles, and jumps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid5

import numpy as np
from grpc import aio

from ai_grpc.demo.features import vectors
from ai_grpc.demo.jumps import Jump, jumps
from ai_grpc.demo.prices import Series
from ai_grpc.demo.spectrum import Spectrum, analyse
from ai_grpc.v1 import anomalies_pb2, anomalies_pb2_grpc, features_pb2, features_pb2_grpc, spectra_pb2, spectra_pb2_grpc

STUDY_TIMEOUT = 30.0
BATCH = 500
SIGNIFICANT = 0.95


@dataclass(frozen=True)
class Study:
    """What was recorded: how many vectors and jumps, and the strongest cycle in bars with its significance."""

    vectors: int
    jumps: int
    cycle: float
    significance: float


async def study(channel: aio.Channel, series: Series, model_id: str) -> Study:
    """Records the features and jumps of the trading part, and the spectrum of the returns before it."""
    features: features_pb2_grpc.FeatureServiceAsyncStub = features_pb2_grpc.FeatureServiceStub(channel)
    spectra: spectra_pb2_grpc.SpectrumServiceAsyncStub = spectra_pb2_grpc.SpectrumServiceStub(channel)
    anomalies: anomalies_pb2_grpc.AnomalyServiceAsyncStub = anomalies_pb2_grpc.AnomalyServiceStub(channel)
    put = await features.PutFeatureStream(_batches(series), timeout=STUDY_TIMEOUT)
    spectrum = analyse(np.diff(np.log(series.close[: series.split])))
    await spectra.RecordSpectrumAnalysis(spectrum_request(series, model_id, spectrum), timeout=STUDY_TIMEOUT)
    if found := jumps(series):
        reports = [anomaly(series, model_id, jump) for jump in found]
        await anomalies.ReportAnomalies(anomalies_pb2.ReportAnomaliesRequest(anomalies=reports), timeout=STUDY_TIMEOUT)
    return Study(put.vectors, len(found), 1 / spectrum.frequencies[0], spectrum.significance[0])


def spectrum_request(series: Series, model_id: str, spectrum: Spectrum) -> spectra_pb2.RecordSpectrumAnalysisRequest:
    """The spectrum of the training part, with a pattern if its strongest cycle is no accident."""
    analysis = spectra_pb2.SpectrumAnalysis(
        analysis_id=str(uuid5(UUID(model_id), "spectrum")),
        model_id=model_id,
        symbol=series.symbol,
        analysis_type="fourier",
        reconstruction_error=spectrum.error,
        frequency_components=spectra_pb2.FrequencyComponents(
            dominant_frequencies=spectrum.frequencies,
            amplitudes=spectrum.amplitudes,
            phases=spectrum.phases,
            significance_scores=spectrum.significance,
        ),
    )
    analysis.analysis_time.FromDatetime(series.times[series.split - 1])
    if spectrum.significance[0] >= SIGNIFICANT:
        analysis.pattern_detected, analysis.pattern_confidence = "cycle", spectrum.significance[0]
    return spectra_pb2.RecordSpectrumAnalysisRequest(analysis=analysis)


def anomaly(series: Series, model_id: str, jump: Jump) -> anomalies_pb2.Anomaly:
    """The report of a jump; its id follows from the model and the bar, so that it may be repeated."""
    report = anomalies_pb2.Anomaly(
        anomaly_id=str(uuid5(UUID(model_id), f"jump at bar {jump.bar}")),
        model_id=model_id,
        symbol=series.symbol,
        anomaly_type="price_jump",
        severity_score=abs(jump.deviations),
    )
    report.detection_time.FromDatetime(series.times[jump.bar])
    before, after = series.close[jump.bar - 1 : jump.bar + 1].tolist()
    report.market_data_context.update({"close": after, "close_before": before})
    report.anomaly_details.update({"return": jump.move, "deviations": jump.deviations})
    return report


def _batches(series: Series) -> Iterator[features_pb2.PutFeatureStreamRequest]:
    found = list(vectors(series))
    for begin in range(0, len(found), BATCH):
        yield features_pb2.PutFeatureStreamRequest(vectors=found[begin : begin + BATCH])
