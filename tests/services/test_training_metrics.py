"""The metrics of a session: series that grow, and facts."""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final

import grpc
import pytest

from ai_grpc.v1 import training_pb2 as pb
from ai_grpc.v1.training_pb2_grpc import TrainingServiceStub
from tests.signals import a_struct, an_exchange, details, refusal
from tests.training import a_running_session, the_session

# As the documentation of the schema has them.
REWARDS: Final = [10.5, 15.2, 18.9]
LOSSES: Final = [0.05, 0.04, 0.03]
METRICS: Final[dict[str, Any]] = {"episode_rewards": REWARDS, "loss_values": LOSSES, "convergence_achieved": True}
PERFORMANCE: Final[dict[str, Any]] = {"total_reward": 295.72, "sharpe_ratio": 1.85, "max_drawdown": 0.12}

Series = pb.AppendTrainingMetricsRequest.Series


def piece(name: str, offset: int, *values: float) -> Series:
    """A piece of a series."""
    return Series(name=name, offset=offset, values=values)


async def append(channel: grpc.aio.Channel, session_id: str, *series: Series, **facts: Any) -> None:
    """Appends the pieces and merges the facts."""
    request = pb.AppendTrainingMetricsRequest(session_id=session_id, series=series)
    if facts:
        request.facts.update(facts)
    await TrainingServiceStub(channel).AppendTrainingMetrics(request, timeout=20)


async def test_the_metrics_of_the_specification_come_out_unchanged(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        for step, (reward, loss) in enumerate(zip(REWARDS, LOSSES, strict=True)):
            await append(channel, session_id, piece("episode_rewards", step, reward), piece("loss_values", step, loss))
        await append(channel, session_id, convergence_achieved=True)
        end = pb.CompleteTrainingSessionRequest(session_id=session_id, final_performance=a_struct(**PERFORMANCE))
        session = (await TrainingServiceStub(channel).CompleteTrainingSession(end)).session
        assert session.training_metrics == a_struct(**METRICS)
        assert session.final_performance == a_struct(**PERFORMANCE)


async def test_values_that_are_there_are_not_added_twice(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        # The last of these repeats some and brings more; the others are whole repetitions.
        for offset, values in ((0, [1, 2]), (0, [1, 2]), (1, [2]), (0, [1]), (1, [2, 0.5, -0.0]), (2, [0.5, 0.0])):
            await append(channel, session_id, piece("loss", offset, *values), epoch=1)
        session = await the_session(channel, session_id)
        assert session.training_metrics == a_struct(loss=[1, 2, 0.5, 0], epoch=1)


async def test_a_hole_and_other_values_are_refused_and_nothing_is_written(
    database: str, subtests: pytest.Subtests
) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        await append(channel, session_id, piece("loss", 0, 3, 2))
        before = await the_session(channel, session_id)
        for misfit, name, length in (
            (piece("loss", 3, 1), "loss", 2),
            (piece("loss", 1, 2.5), "loss", 2),
            (piece("loss", 0, 3, 2.5, 1), "loss", 2),
            (piece("reward", 1, 1), "reward", 0),
        ):
            with subtests.test(str(misfit)):
                error = await refusal(append(channel, session_id, piece("fits", 0, 1), misfit, epoch=9))
                assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
                metadata = {"session_id": session_id, "name": name, "length": str(length)}
                assert details(error)[:2] == ("SERIES_OUT_OF_STEP", metadata)
        assert await the_session(channel, session_id) == before


async def test_facts_replace_those_of_the_same_name_and_keep_the_others(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        await append(channel, session_id, epoch=1, best={"loss": 0.5}, note=None)
        await append(channel, session_id, piece("loss", 0, 1), epoch=2, best={"reward": 7})
        session = await the_session(channel, session_id)
        assert session.training_metrics == a_struct(epoch=2, best={"reward": 7}, note=None, loss=[1])


async def test_an_append_is_a_heartbeat(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        before = await the_session(channel, session_id)
        await append(channel, session_id)
        after = await the_session(channel, session_id)
        assert after.heartbeat_time.ToMicroseconds() > before.heartbeat_time.ToMicroseconds()
        assert not after.training_metrics.fields


async def test_concurrent_appends_lose_nothing(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database) as other:
        session_id = await a_running_session(one)
        await asyncio.gather(
            *(append(channel, session_id, piece("loss", 0, 1, 2, 3)) for channel in (one, other) * 5),
            *(append(channel, session_id, **{f"fact {n}": n}) for n, channel in enumerate((one, other) * 5)),
        )
        session = await the_session(one, session_id)
        assert session.training_metrics == a_struct(loss=[1, 2, 3], **{f"fact {n}": n for n in range(10)})


async def test_a_series_has_a_length_at_most_and_metrics_a_size(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        for offset in range(0, 100_000, 10_000):
            await append(channel, session_id, piece("loss", offset, *[1] * 10_000))
        error = await refusal(append(channel, session_id, piece("loss", 100_000, 1)))
        assert details(error)[:3] == ("INVALID_FIELD", {}, ["series[0].offset"])
        session = await the_session(channel, session_id)
        assert session.training_metrics == a_struct(loss=[1] * 100_000)
        error = await refusal(append(channel, session_id, text="x" * 1_000_000))
        assert (error.code(), details(error)[:3]) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            ("INVALID_FIELD", {}, ["series"]),
        )
        assert error.details() == "series must have at most 960 KiB"


async def test_a_series_and_a_fact_do_not_take_each_others_place(database: str) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        await append(channel, session_id, piece("loss", 0, 3, 2), best=1)
        before = await the_session(channel, session_id)
        for call, name, length in (
            (append(channel, session_id, loss=1), "loss", "2"),
            (append(channel, session_id, piece("best", 0, 1)), "best", "0"),
            (append(channel, session_id, piece("other", 0, 1), other=1), "other", "1"),
        ):
            error = await refusal(call)
            assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
            metadata = {"session_id": session_id, "name": name, "length": length}
            assert details(error)[:2] == ("SERIES_OUT_OF_STEP", metadata)
        assert (await the_session(channel, session_id)).training_metrics == before.training_metrics


FAULTS: Final[list[tuple[list[Series], dict[str, Any], list[str]]]] = [
    ([piece("", 0, 1)], {}, ["series[0].name"]),
    ([piece("x" * 101, 0, 1)], {}, ["series[0].name"]),
    ([piece("a\0b", 0, 1)], {}, ["series[0].name"]),
    ([piece("a", 0, 1), piece("a", 1, 2)], {}, ["series[1].name"]),
    ([piece("a", -1, 1)], {}, ["series[0].offset"]),
    ([piece("a", 0)], {}, ["series[0].values"]),
    ([piece("a", 0, *[1] * 10_001)], {}, ["series[0].values"]),
    ([piece("a", 2**31 - 1, 1)], {}, ["series[0].offset"]),
    ([piece("a", 0, math.nan)], {}, ["series[0].values"]),
    ([piece("a", 0, 1), piece("b", 0, 1, -math.inf)], {}, ["series[1].values"]),
    ([piece(str(n), 0, 1) for n in range(101)], {}, ["series"]),
    ([piece("", -1)], {}, ["series[0].name", "series[0].offset", "series[0].values"]),
    ([], {"rate": math.nan}, ["facts"]),
    ([], {"text": "\0"}, ["facts"]),
    ([], {"rate": 1, "losses": [0.5]}, ["facts.losses"]),
    # Whole, the name would be more than the trailers that a client takes.
    ([], {"é" * 6000: [0.5]}, [f"facts.{'é' * 97}"]),
]


async def test_the_field_at_fault_is_named(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        session_id = await a_running_session(channel)
        for series, facts, fields in FAULTS:
            with subtests.test(str(fields)):
                error = await refusal(append(channel, session_id, *series, **facts))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, fields)
        error = await refusal(append(channel, "x"))
        assert details(error)[:3] == ("INVALID_FIELD", {}, ["session_id"])
        assert not (await the_session(channel, session_id)).HasField("training_metrics")
