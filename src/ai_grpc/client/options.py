"""Where a subscription begins, and what else may be said of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, TypedDict

import grpc

from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2

Start = Literal["latest", "earliest", "current"] | datetime


class SubscriberOptions(TypedDict, total=False):
    """The keyword arguments of SignalSubscriber, and of SyncSubscriber."""

    start: Start
    position: streams_pb2.Position | None
    filter: pb.SignalFilter | None
    max_age: timedelta | None
    heartbeat_interval: timedelta
    max_batch_size: int
    subscriber_id: str
    credentials: grpc.ChannelCredentials | None
