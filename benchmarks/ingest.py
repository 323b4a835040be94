"""Section ingest: features and episodes by client streaming, in requests of a thousand, against COPY."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import psutil
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from ai_grpc.client import connect
from ai_grpc.db import json_of
from ai_grpc.fields import numbers
from ai_grpc.v1 import features_pb2, training_pb2
from ai_grpc.v1.features_pb2_grpc import FeatureServiceStub
from ai_grpc.v1.training_pb2_grpc import TrainingServiceStub
from benchmarks.load import Call, settle
from benchmarks.stage import Stage

SIZE: Final = 1000
MIB: Final = 1024 * 1024
FEATURES_COUNT: Final = 100_000
EPISODES_A_SECOND: Final = 15_000
STEPS: Final = 10
SAMPLE_SECONDS: Final = 0.05
SYMBOLS: Final = [f"SYM{number:03}" for number in range(100)]

FEATURE_COLUMNS: Final = ("symbol", "timestamp", "feature_set_name", "features", "raw_data_hash", "extraction_method")
EPISODE_COLUMNS: Final = (
    *("session_id", "episode_number", "total_reward", "episode_length", "max_drawdown", "actions_taken", "rewards"),
    "episode_end_reason",
)
A_SESSION: Final = """
INSERT INTO ai_trading.training_sessions (session_id, model_id, session_name) VALUES ($1, $2, 'bench')
"""
MAKE_PARTITIONS: Final = "SELECT ai_trading.make_feature_partitions()"


class Kind(NamedTuple):
    """What is written: its table, and how an item becomes a row of COPY."""

    name: str
    table: str
    columns: Sequence[str]
    row: Callable[[Any], tuple[object, ...]]


@asynccontextmanager
async def ingest(stage: Stage) -> AsyncIterator[Call]:
    """The same number both ways, made before; and what the memory of the server grows by."""
    async with (
        stage.exchange() as exchange,
        stage.ceiling() as (_, connection, model_id),
        connect(exchange.target) as channel,
    ):
        await connection.execute(MAKE_PARTITIONS)
        features, training = FeatureServiceStub(channel), TrainingServiceStub(channel)
        rounds = 0

        async def feature_round() -> None:
            vectors = [a_vector(rounds, number) for number in range(FEATURES_COUNT)]
            seconds = await copy_seconds(connection, FEATURES, vectors)
            stage.figures.note("features by COPY rate", FEATURES_COUNT / seconds)
            requests = [features_pb2.PutFeatureStreamRequest(vectors=part) for part in parts(vectors)]
            async with growth(exchange.pid) as sizes:
                seconds = await stream_seconds(features.PutFeatureStream, requests)
            stage.figures.note("features rate", FEATURES_COUNT / seconds)
            stage.figures.note("MiB that the server grows by", (max(sizes) - sizes[0]) / MIB)

        async def episode_round() -> None:
            sessions = [str(uuid4()), str(uuid4())]
            await connection.execute(A_SESSION, sessions[0], model_id)
            request = training_pb2.StartTrainingSessionRequest(
                session_id=sessions[1], model_id=exchange.model_id, session_name="bench"
            )
            await training.StartTrainingSession(request)
            count = max(3, int(EPISODES_A_SECOND * stage.scale.seconds) // SIZE) * SIZE
            episodes = [an_episode(sessions[0], number + 1) for number in range(count)]
            stage.figures.note("episodes by COPY rate", count / await copy_seconds(connection, EPISODES, episodes))
            for episode in episodes:
                episode.session_id = sessions[1]
            messages = [training_pb2.AddEpisodesRequest(episodes=part) for part in parts(episodes)]
            stage.figures.note("episodes rate", count / await stream_seconds(training.AddEpisodes, messages))

        async def round() -> None:
            nonlocal rounds
            await feature_round()
            await episode_round()
            rounds += 1

        yield round
        await check_stored(exchange.dsn, rounds)


@asynccontextmanager
async def growth(pid: int) -> AsyncIterator[list[int]]:
    """The memory of a process, before and meanwhile."""
    process = psutil.Process(pid)
    sizes = [process.memory_info().rss]

    async def sample() -> None:
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            sizes.append(process.memory_info().rss)

    sampling = asyncio.create_task(sample())
    try:
        yield sizes
    finally:
        sampling.cancel()


async def copy_seconds(connection: asyncpg.Connection, kind: Kind, items: Sequence[Message]) -> float:
    """How long COPY of the items into their table takes, from rows that are ready."""
    rows = [kind.row(item) for item in items]
    settle()
    started = time.perf_counter()
    await connection.copy_records_to_table(kind.table, records=rows, columns=kind.columns)
    return time.perf_counter() - started


async def stream_seconds(method: Any, requests: Sequence[Message]) -> float:
    """How long one stream of the requests takes, until it is answered."""
    settle()
    started = time.perf_counter()
    call = method()
    for request in requests:
        await call.write(request)
    await call.done_writing()
    await call
    return time.perf_counter() - started


async def check_stored(dsn: str, rounds: int) -> None:
    """Raises if the database does not hold all features."""
    connection = await asyncpg.connect(dsn)
    try:
        stored = await connection.fetchval("SELECT count(*) FROM ai_trading.feature_data")
    finally:
        await connection.close()
    if stored != rounds * FEATURES_COUNT:
        raise RuntimeError(f"{rounds * FEATURES_COUNT} features were sent, {stored} are stored")


def parts(items: Sequence[Any]) -> list[Sequence[Any]]:
    """The items of each request."""
    return [items[first : first + SIZE] for first in range(0, len(items), SIZE)]


def a_vector(round: int, number: int) -> features_pb2.FeatureVector:
    """Five features, as in the example of the contract; symbol after symbol, and minute after minute of this month."""
    minute = round * FEATURES_COUNT // len(SYMBOLS) + number // len(SYMBOLS)
    vector = features_pb2.FeatureVector(
        symbol=SYMBOLS[number % len(SYMBOLS)],
        event_time=Timestamp(seconds=_month() + minute * 60),
        feature_set_name="technical_indicators",
        raw_data_hash=f"{round:032x}{number:032x}",
        extraction_method="talib",
    )
    vector.features.update(
        {
            "sma_20": 150.25 + number % 97 * 0.01,
            "rsi_14": 65.8,
            "bollinger_upper": 155.0 + number % 89 * 0.03,
            "bollinger_lower": 145.0,
            "volume_ratio": 1.25,
        }
    )
    return vector


def an_episode(session_id: str, number: int) -> training_pb2.Episode:
    """A short one: long ones are nothing but numbers."""
    return training_pb2.Episode(
        session_id=session_id,
        episode_number=number,
        total_reward=number * 0.37,
        episode_length=STEPS,
        max_drawdown=0.12,
        actions_taken=[step % 3 for step in range(STEPS)],
        rewards=[number * 0.037] * STEPS,
        episode_end_reason="completed",
    )


def _month() -> int:
    return int(datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp())


def _feature_row(vector: features_pb2.FeatureVector) -> tuple[object, ...]:
    return (
        *(vector.symbol, vector.event_time.ToDatetime(UTC), vector.feature_set_name, json_of(vector.features)),
        *(vector.raw_data_hash, vector.extraction_method),
    )


def _episode_row(episode: training_pb2.Episode) -> tuple[object, ...]:
    return (
        *(UUID(episode.session_id), episode.episode_number, episode.total_reward, episode.episode_length),
        *(episode.max_drawdown, numbers("", episode.actions_taken), numbers("", episode.rewards)),
        episode.episode_end_reason,
    )


FEATURES: Final = Kind("features", "feature_data", FEATURE_COLUMNS, _feature_row)
EPISODES: Final = Kind("episodes", "rl_episodes", EPISODE_COLUMNS, _episode_row)
