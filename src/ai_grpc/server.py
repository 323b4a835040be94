"""The gRPC server: its options, its port, and the services on it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import grpc
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2_grpc import add_ServerReflectionServicer_to_server

from ai_grpc.errors import ConfigurationError
from ai_grpc.health import Health
from ai_grpc.interceptors import GuardedServer
from ai_grpc.logs import AccessLog
from ai_grpc.settings import MIB, Settings
from ai_grpc.v1 import (
    anomalies_pb2_grpc,
    features_pb2_grpc,
    models_pb2_grpc,
    optimization_pb2_grpc,
    performance_pb2_grpc,
    signals_pb2_grpc,
    spectra_pb2_grpc,
    training_pb2_grpc,
)

MODULES: Final[Mapping[str, Any]] = {
    "SignalService": signals_pb2_grpc,
    "ModelService": models_pb2_grpc,
    "TrainingService": training_pb2_grpc,
    "OptimizationService": optimization_pb2_grpc,
    "FeatureService": features_pb2_grpc,
    "AnomalyService": anomalies_pb2_grpc,
    "SpectrumService": spectra_pb2_grpc,
    "PerformanceService": performance_pb2_grpc,
}
SERVICES: Final = [f"ai_grpc.v1.{name}" for name in MODULES]
HEALTH: Final = "grpc.health.v1.Health"
MAX_MESSAGE: Final = 4 * MIB
MAX_PENDING: Final = 20_000
MAX_PROBES: Final = 100


def create_server(
    settings: Settings,
    access_log: AccessLog,
    servicers: Mapping[str, object],
    health: Health,
    closing: asyncio.Event,
) -> grpc.aio.Server:
    """A server with a servicer for each of MODULES, none of which lets an exception out. Once it is closing, it waits
    for no more requests of a stream."""
    server = grpc.aio.server(options=_options(settings))
    bounds: dict[str, Any] = {
        "timeout": settings.call_timeout,
        "lifetime": settings.stream_lifetime,
        "closing": closing,
    }
    guarded = GuardedServer(server, access_log, max_calls=settings.max_concurrent_calls, **bounds)
    for name, module in MODULES.items():
        getattr(module, f"add_{name}Servicer_to_server")(servicers[name], guarded)
    # Whoever looks after the server is heard when it has too much to do, and is not in the log every few seconds.
    probed: Any = GuardedServer(server, None, max_calls=MAX_PROBES, **bounds)
    add_HealthServicer_to_server(health, probed)
    names = [*SERVICES, HEALTH, reflection.SERVICE_NAME]
    add_ServerReflectionServicer_to_server(reflection.aio.ReflectionServicer(names), probed)
    return server


def _options(settings: Settings) -> list[tuple[str, Any]]:
    lifetime = int(settings.stream_lifetime * 1000)
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.max_send_message_length", -1),
        # Above the first of these, 1000 by default, gRPC cancels calls before anybody can refuse them and say why.
        ("grpc.server.max_pending_requests", MAX_PENDING),
        ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING),
        # Two servers on one port would split the calls between them unseen; workers are meant to.
        ("grpc.so_reuseport", int(settings.workers > 1)),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        # The keepalive timeout alone does not bound the detection of a dead peer: the ping has its own, of a minute.
        ("grpc.http2.ping_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_pings_without_data", 0),
        # Streams end themselves after their lifetime; this reaps those whose client has stopped reading.
        ("grpc.max_connection_age_ms", lifetime),
        ("grpc.max_connection_age_grace_ms", lifetime + 60_000),
    ]


def bind(server: grpc.aio.Server, settings: Settings) -> int:
    """Takes the port and returns its number. Raises ConfigurationError when somebody else has it."""
    address = f"{settings.host}:{settings.port}"
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise ConfigurationError(
            f"{address} cannot be listened on: is the port taken? Choose another --port"
        ) from error
    return int(port)
