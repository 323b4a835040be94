"""What cannot be stored of a training session: the field at fault is named, and nothing is written."""

from __future__ import annotations

import uuid
from typing import Any, Final, cast

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from ai_grpc.v1 import training_pb2 as pb
from ai_grpc.v1.periods_pb2 import Period
from ai_grpc.v1.training_pb2_grpc import TrainingServiceStub
from tests.signals import a_struct, an_active_model, an_exchange, details, execute, refusal
from tests.training import a_running_session, a_start, the_session

NOBODY: Final = str(uuid.uuid4())
NESTED: Final[dict[str, Any]] = {"level": {}}
for _ in range(16):
    NESTED["level"] = {"level": NESTED["level"]}


def days(first: str, end: str) -> Period:
    """Maybe a period."""
    return Period(start_date=first, end_date=end)


FAULTS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"session_id": ""}, "session_id"),
    ({"session_id": "first"}, "session_id"),
    ({"session_id": "0" * 32}, "session_id"),
    ({"model_id": ""}, "model_id"),
    ({"model_id": "a\0b"}, "model_id"),
    ({"session_name": ""}, "session_name"),
    ({"session_name": "x" * 101}, "session_name"),
    ({"session_name": "a\0b"}, "session_name"),
    ({"training_data_period": days("", "")}, "training_data_period.start_date"),
    ({"training_data_period": days("2024-01-01", "")}, "training_data_period.end_date"),
    (
        {"training_data_period": days("2024-W01-1", "2025-01-01")},
        "training_data_period.start_date",
    ),
    ({"validation_data_period": days("2024-02-30", "x")}, "validation_data_period.start_date"),
    ({"validation_data_period": days("0001-01-01", "2025-01-01")}, "validation_data_period.start_date"),
    ({"validation_data_period": days("2024-01-01", "9999-12-31")}, "validation_data_period.end_date"),
    (
        {"validation_data_period": days("2024-01-01", "20250101")},
        "validation_data_period.end_date",
    ),
    (
        {"validation_data_period": days("2024-01-02", "2024-01-02")},
        "validation_data_period.end_date",
    ),
    ({"hyperparameters": a_struct(rate=float("nan"))}, "hyperparameters"),
    ({"hyperparameters": a_struct(text="x" * 65_536)}, "hyperparameters"),
    ({"hyperparameters": a_struct(**NESTED)}, "hyperparameters"),
    ({"heartbeat_timeout": Duration(nanos=999_999_000)}, "heartbeat_timeout"),
    ({"heartbeat_timeout": Duration(seconds=7 * 86_400, nanos=1_000)}, "heartbeat_timeout"),
    ({"heartbeat_timeout": Duration(seconds=-5)}, "heartbeat_timeout"),
    ({"heartbeat_timeout": Duration(seconds=2**62)}, "heartbeat_timeout"),
]
OTHER_FAULTS: Final[list[tuple[str, Any, str]]] = [
    ("GetTrainingSession", pb.GetTrainingSessionRequest(), "session_id"),
    ("HeartbeatTrainingSession", pb.HeartbeatTrainingSessionRequest(session_id="x"), "session_id"),
    ("RequestTrainingStop", pb.RequestTrainingStopRequest(), "session_id"),
    ("CompleteTrainingSession", pb.CompleteTrainingSessionRequest(), "session_id"),
    ("FailTrainingSession", pb.FailTrainingSessionRequest(session_id=NOBODY), "error_message"),
    ("ListTrainingSessions", pb.ListTrainingSessionsRequest(page_size=-1), "page_size"),
    ("ListTrainingSessions", pb.ListTrainingSessionsRequest(page_token="MQ=="), "page_token"),
    ("ListTrainingSessions", pb.ListTrainingSessionsRequest(model_id="champion"), "model_id"),
    ("ListTrainingSessions", pb.ListTrainingSessionsRequest(state=cast(Any, 9)), "state"),
]


async def test_the_field_at_fault_is_named(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        faults = [("StartTrainingSession", a_start(**{"model_id": model, **each}), field) for each, field in FAULTS]
        for method, request, field in [*faults, *OTHER_FAULTS]:
            with subtests.test(method, field=field):
                error = await refusal(getattr(TrainingServiceStub(channel), method)(request))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, [field])
    assert await execute(database, "SELECT FROM training_sessions") == []


async def test_an_end_that_cannot_be_stored_leaves_the_session_running(
    database: str, subtests: pytest.Subtests
) -> None:
    async with an_exchange(database) as channel:
        stub, session_id = TrainingServiceStub(channel), await a_running_session(channel)
        ended: list[tuple[str, type[Any], str, Any]] = [
            ("FailTrainingSession", pb.FailTrainingSessionRequest, "error_message", "x" * 10_001),
            ("FailTrainingSession", pb.FailTrainingSessionRequest, "error_message", "a\0b"),
            *(
                ("CompleteTrainingSession", pb.CompleteTrainingSessionRequest, field, value)
                for field, value in (
                    ("model_artifacts_path", "x" * 1001),
                    ("final_performance", a_struct(text="x" * 65_536)),
                    ("final_performance", a_struct(sharpe_ratio=float("inf"))),
                )
            ),
        ]
        for method, kind, field, value in ended:
            with subtests.test(field):
                error = await refusal(getattr(stub, method)(kind(session_id=session_id, **{field: value})))
                assert details(error)[:3] == ("INVALID_FIELD", {}, [field])
        assert (await the_session(channel, session_id)).state == pb.TRAINING_STATE_RUNNING
