"""What callers read from the past that `tests.filling` makes: lists, the latest, and what was known at a time."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message

from ai_grpc.v1 import (
    anomalies_pb2,
    features_pb2,
    models_pb2,
    optimization_pb2,
    performance_pb2,
    spectra_pb2,
    training_pb2,
)
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.periods_pb2 import Period
from tests.filling import SETS, id_of

NEAR_THE_END: Final = timedelta(days=1)


class Read(NamedTuple):
    """A call: what it is about, the service and the method, and the request."""

    name: str
    method: str
    request: Message

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.method.partition('.')[2]}: {self.name}"


def reads(end: datetime) -> list[Read]:
    """Calls with the filters that matter, alone and together, on a past until `end`."""
    return [
        *_signals(end),
        *_anomalies(end),
        *_spectra(end),
        *_features(end),
        *_performance(end),
        *_training(end),
        *_optimization(end),
    ]


def _signals(end: datetime) -> list[Read]:
    day, deep = end - NEAR_THE_END, _after("list_signals", end - timedelta(days=90))
    symbol, model, both = ["SYM7"], [id_of(7)], ["SYM7", "SYM8"]
    requests: dict[str, dict[str, Any]] = {
        "first page": {},
        "deep page": {"page_token": deep},
        "a symbol": {"symbols": symbol},
        "a symbol, deep page": {"symbols": symbol, "page_token": deep},
        "two symbols": {"symbols": both},
        "an unknown symbol": {"symbols": ["NONE"]},
        "a model": {"model_ids": model},
        "a model, deep page": {"model_ids": model, "page_token": deep},
        "a model and a symbol": {"model_ids": model, "symbols": symbol},
        "active": {"states": [pb.SIGNAL_STATE_ACTIVE]},
        "active of a model": {"states": [pb.SIGNAL_STATE_ACTIVE], "model_ids": model},
        "active of a symbol": {"states": [pb.SIGNAL_STATE_ACTIVE], "symbols": symbol},
        "executed": {"states": [pb.SIGNAL_STATE_EXECUTED]},
        "cancelled": {"states": [pb.SIGNAL_STATE_CANCELLED]},
        "cancelled of a model": {"states": [pb.SIGNAL_STATE_CANCELLED], "model_ids": model},
        "a type and high confidence": {"signal_types": [pb.SIGNAL_TYPE_BUY], "min_confidence": 0.95},
        "the last day": {"start_time": day},
        "a past day": {"start_time": day - timedelta(days=60), "end_time": end - timedelta(days=60)},
        "a symbol on the last day": {"symbols": symbol, "start_time": day},
    }
    lists = [
        Read(name, "SignalService.ListSignals", pb.ListSignalsRequest(**fields)) for name, fields in requests.items()
    ]
    return [*lists, Read("by id", "SignalService.GetSignal", pb.GetSignalRequest(signal_id=id_of(12345)))]


def _anomalies(end: datetime) -> list[Read]:
    deep = _after("list_anomalies", end - timedelta(days=90))
    requests: dict[str, dict[str, Any]] = {
        "first page": {},
        "deep page": {"page_token": deep},
        "a symbol": {"symbols": ["SYM7"]},
        "two symbols": {"symbols": ["SYM7", "SYM8"]},
        "a model": {"model_ids": [id_of(7)]},
        "open": {"open_only": True},
        "open of a symbol": {"open_only": True, "symbols": ["SYM7"]},
        "a type": {"anomaly_type": "price_jump"},
        "severe": {"min_severity": 13},
        "severe, of a symbol, deep page": {"min_severity": 10, "symbols": ["SYM7"], "page_token": deep},
        "more severe than any": {"min_severity": 100},
        "the last day": {"start_time": end - NEAR_THE_END},
    }
    return [
        Read(name, "AnomalyService.ListAnomalies", anomalies_pb2.ListAnomaliesRequest(**fields))
        for name, fields in requests.items()
    ]


def _spectra(end: datetime) -> list[Read]:
    requests: dict[str, dict[str, Any]] = {
        "first page": {},
        "a symbol": {"symbol": "SYM7"},
        "a type": {"analysis_type": "wavelet"},
        "a pattern": {"pattern_detected": "weekly cycle"},
        "a model": {"model_id": id_of(7)},
        "the last day": {"start_time": end - NEAR_THE_END},
    }
    return [
        Read(name, "SpectrumService.ListSpectrumAnalyses", spectra_pb2.ListSpectrumAnalysesRequest(**fields))
        for name, fields in requests.items()
    ]


def _features(end: datetime) -> list[Read]:
    past = end - timedelta(days=40)
    then: dict[str, Any] = {"as_of": past}
    known: dict[str, Any] = {"known_by": past}
    few: dict[str, Any] = {"symbols": ["SYM7"], "feature_set_names": SETS[:2]}
    many: dict[str, Any] = {"symbols": [f"SYM{n}" for n in range(10)], "feature_set_names": SETS[:2]}
    none: dict[str, Any] = {"symbols": ["NONE"], "feature_set_names": SETS[:1]}
    whole: dict[str, Any] = {"feature_set_name": SETS[0], "start_time": end - timedelta(days=80), "end_time": end}
    month: dict[str, Any] = {"feature_set_name": SETS[0], "start_time": past, "end_time": past + timedelta(days=30)}
    latest, as_of, read = (
        f"FeatureService.{name}" for name in ("GetLatestFeatures", "GetFeaturesAsOf", "ReadFeatures")
    )
    return [
        Read("a symbol, two sets", latest, features_pb2.GetLatestFeaturesRequest(**few)),
        Read("ten symbols, two sets", latest, features_pb2.GetLatestFeaturesRequest(**many)),
        Read("an unknown symbol", latest, features_pb2.GetLatestFeaturesRequest(**none)),
        Read("a symbol, two sets", as_of, features_pb2.GetFeaturesAsOfRequest(**few, **then)),
        Read("ten symbols, two sets", as_of, features_pb2.GetFeaturesAsOfRequest(**many, **then)),
        Read("a symbol, as known then", as_of, features_pb2.GetFeaturesAsOfRequest(**few, **then, **known)),
        Read("all symbols", read, features_pb2.ReadFeaturesRequest(**whole)),
        Read("a symbol", read, features_pb2.ReadFeaturesRequest(**whole, symbols=["SYM7"])),
        Read("two symbols", read, features_pb2.ReadFeaturesRequest(**month, symbols=["SYM7", "SYM8"])),
        Read("all symbols, a month", read, features_pb2.ReadFeaturesRequest(**month)),
    ]


def _performance(end: datetime) -> list[Read]:
    deep = _after("list_evaluations", end - timedelta(days=90))
    requests: dict[str, dict[str, Any]] = {
        "first page": {},
        "deep page": {"page_token": deep},
        "a signal": {"signal_id": id_of(12345)},
        "a model": {"model_id": id_of(7)},
        "a model, deep page": {"model_id": id_of(7), "page_token": deep},
        "the last day": {"start_time": end - NEAR_THE_END},
    }
    history, latest = "PerformanceService.GetModelPerformanceHistory", "PerformanceService.GetLatestModelPerformance"
    day = (end - timedelta(days=90)).date()
    period = Period(start_date=str(day), end_date=str(day + timedelta(days=30)))
    of_model: dict[str, Any] = {"model_id": id_of(7)}
    calibration = performance_pb2.GetCalibrationRequest(**of_model, evaluation_period=period)
    in_period = performance_pb2.GetModelPerformanceHistoryRequest(**of_model, evaluation_period=period)
    return [
        *(
            Read(name, "PerformanceService.ListEvaluations", performance_pb2.ListEvaluationsRequest(**fields))
            for name, fields in requests.items()
        ),
        Read("all models", latest, performance_pb2.GetLatestModelPerformanceRequest()),
        Read("a model", latest, performance_pb2.GetLatestModelPerformanceRequest(**of_model)),
        Read("a model", history, performance_pb2.GetModelPerformanceHistoryRequest(**of_model)),
        Read("a model and a period", history, in_period),
        Read("a model, a month", "PerformanceService.GetCalibration", calibration),
    ]


def _training(end: datetime) -> list[Read]:
    requests: dict[str, dict[str, Any]] = {
        "first page": {},
        "deep page": {"page_token": _after("list_training_sessions", end - timedelta(days=90))},
        "a model": {"model_id": id_of(7)},
        "running": {"state": training_pb2.TRAINING_STATE_RUNNING},
    }
    episodes = training_pb2.ListEpisodesRequest(session_id=id_of(7))
    return [
        *(
            Read(name, "TrainingService.ListTrainingSessions", training_pb2.ListTrainingSessionsRequest(**fields))
            for name, fields in requests.items()
        ),
        Read("a session", "TrainingService.ListEpisodes", episodes),
        Read("first page", "ModelService.ListModels", models_pb2.ListModelsRequest()),
    ]


def _optimization(end: datetime) -> list[Read]:
    requests: dict[str, dict[str, Any]] = {
        "first page": {},
        "deep page": {"page_token": _after("list_optimization_runs", end - timedelta(days=90))},
        "a model": {"model_id": id_of(7)},
        "running": {"state": optimization_pb2.OPTIMIZATION_STATE_RUNNING},
    }
    run: dict[str, Any] = {"run_id": id_of(7)}
    individuals = "OptimizationService.ListIndividuals"
    return [
        *(
            Read(
                name, "OptimizationService.ListOptimizationRuns", optimization_pb2.ListOptimizationRunsRequest(**fields)
            )
            for name, fields in requests.items()
        ),
        Read("the best", individuals, optimization_pb2.ListIndividualsRequest(**run)),
        Read("a generation", individuals, optimization_pb2.ListIndividualsRequest(**run, generation=1)),
        Read("a run", "OptimizationService.GetConvergence", optimization_pb2.GetConvergenceRequest(**run)),
    ]


def _after(query: str, time: datetime) -> str:
    """The token of the page of a list that begins before a time."""
    return base64.urlsafe_b64encode(f"{query} {time.isoformat()} {id_of(0)}".encode()).decode()
