"""Sessions and episodes that can be written, but for the changes: the words that the tests of training share."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import grpc

from ai_grpc.v1 import training_pb2 as pb
from ai_grpc.v1.training_pb2_grpc import TrainingServiceStub
from tests.signals import an_active_model


def a_start(model_id: str, **changes: Any) -> pb.StartTrainingSessionRequest:
    """A session that can be started."""
    fields = {"session_id": str(uuid.uuid4()), "model_id": model_id, "session_name": "night run"}
    return pb.StartTrainingSessionRequest(**{**fields, **changes})


async def a_running_session(channel: grpc.aio.Channel, **changes: Any) -> str:
    """The id of a session started just now."""
    request = a_start(changes.pop("model_id", None) or await an_active_model(channel), **changes)
    response = await TrainingServiceStub(channel).StartTrainingSession(request, timeout=10)
    return response.session.session_id


def an_episode(session_id: str, number: int = 1, **changes: Any) -> pb.Episode:
    """An episode that can be stored."""
    fields: dict[str, Any] = {
        "session_id": session_id,
        "episode_number": number,
        "total_reward": 12.5,
        "episode_length": 3,
        "final_portfolio_value": "10250.75",
        "max_drawdown": 0.12,
        "actions_taken": [0, 1, 2],
        "rewards": [5.0, -2.5, 10.0],
        "episode_end_reason": "completed",
    }
    return pb.Episode(**{**fields, **changes})


async def add(channel: grpc.aio.Channel, *requests: Iterable[pb.Episode]) -> tuple[int, int]:
    """Stores the episodes of some requests by one stream; returns how many there were, and how many of them before."""
    messages = [pb.AddEpisodesRequest(episodes=episodes) for episodes in requests]
    response = await TrainingServiceStub(channel).AddEpisodes(iter(messages), timeout=20)
    return response.episodes, response.duplicates


async def the_session(channel: grpc.aio.Channel, session_id: str) -> pb.TrainingSession:
    """The session as it is now."""
    request = pb.GetTrainingSessionRequest(session_id=session_id)
    return (await TrainingServiceStub(channel).GetTrainingSession(request, timeout=10)).session


async def the_episodes(channel: grpc.aio.Channel, session_id: str, **fields: Any) -> list[pb.Episode]:
    """All episodes of the session, page by page."""
    request, episodes = pb.ListEpisodesRequest(session_id=session_id, **fields), list[pb.Episode]()
    while True:
        response = await TrainingServiceStub(channel).ListEpisodes(request, timeout=10)
        episodes += response.episodes
        if not response.next_page_token:
            return episodes
        request.page_token = response.next_page_token
