"""The rows of the table: what is compared with what, and the targets."""

from __future__ import annotations

from benchmarks.fanout import STREAMS
from benchmarks.peers import HOMEMADE, JETSTREAM, REDIS_ALWAYS, REDIS_EVERYSEC
from benchmarks.publisher import IN_FLIGHT, OURS
from benchmarks.row import Row
from benchmarks.trading import WAYS


def _rate(name: str, in_flight: int = 128) -> str:
    return f"{name}, {in_flight} in flight rate"


TARGETS = (
    Row("unary ack p50, one in flight", "unary ack p50", ("empty unary p50", "append of 1 p50"), at_most=1.15),
    Row("publish stream ack p50, one in flight", "stream ack p50", ("empty bidi p50", "append of 1 p50"), at_most=1.15),
    Row("event at the subscriber p50", "event p50", ("unary ack p50",), at_most=1.05),
    Row("event at the subscriber p99", "event p99", ("event p50",), at_most=3),
    Row("unary, 128 in flight", _rate("unary"), (_rate("empty unary"),), at_least=0.8),
    Row("SDK publisher, 128 in flight, to direct append", _rate(OURS), ("append of 100 rate",), at_least=0.75),
    Row("SDK publisher, 128 in flight, to Redis", _rate(OURS), (_rate(REDIS_ALWAYS),), at_least=2.0),
    Row("SDK publisher, 128 in flight, to JetStream", _rate(OURS), (_rate(JETSTREAM),), at_least=1.0),
    Row("SDK publisher, one in flight, to Redis", _rate(OURS, 1), (_rate(REDIS_ALWAYS, 1),), at_least=0.6),
    Row("bulk, requests of 1,000", "bulk rate", ("COPY rate",), at_least=0.7),
    Row("features, one stream", "features rate", ("features by COPY rate",), at_least=0.5),
    Row("episodes, one stream", "episodes rate", ("episodes by COPY rate",), at_least=0.5),
    Row("MiB that the server grows by with 100,000 features", "MiB that the server grows by", at_most=16),
    Row("replay from the database", "replay rate", at_least=100_000),
    Row("replay from the database, to raw SELECT", "replay rate", ("raw SELECT rate",), at_least=0.5),
    Row("fan-out, 100 signals a second: delivery p99", "delivery to all p99", at_most=0.05),
    Row("fan-out: events delivered of each one due", "delivery to all complete", at_least=1),
    Row("fan-out: server CPU for a delivery, frames of 1", "delivery in frames of 1 cpu", at_most=15e-6),
    Row("fan-out: server CPU for a delivery, frames of 10", "delivery in frames of 10 cpu", at_most=2.5e-6),
    Row("unary ack p50, many stored", "unary ack, many stored p50", ("unary ack, none stored p50",), at_most=1.2),
    Row("stream ack p50, many stored", "stream ack, many stored p50", ("stream ack, none stored p50",), at_most=1.2),
    Row("trading p99 under the flood", "trading, bounded p99", ("trading, unbounded p99",), at_most=0.5),
    Row("connections of the service above its bound", "connections above the bound", at_most=0),
)

OTHERS = (
    *(
        Row(f"SDK publisher, {in_flight} in flight, to {name}", _rate(OURS, in_flight), (_rate(name, in_flight),))
        for name in (REDIS_ALWAYS, REDIS_EVERYSEC, JETSTREAM, HOMEMADE)
        for in_flight in IN_FLIGHT
    ),
    Row("append of 10 rows, called directly", "append of 10 rate"),
    Row("replay through the SDK", "replay through the SDK rate", ("raw SELECT rate",)),
    Row("raw SELECT, pages of the service", "raw SELECT, pages of the service rate"),
    *(
        Row(f"fan-out{suffix}: {name}", f"{figure}{suffix} {unit}")
        for suffix in STREAMS
        for name, figure, unit in (
            ("delivery p50", "delivery to all", "p50"),
            ("events in a frame, published one by one", "published by 1", "a frame"),
            ("events in a frame, published by ten", "published by 10", "a frame"),
        )
    ),
    Row("fan-out, shared connections: delivery p99", "delivery to all, shared connections p99"),
    *(
        Row(
            f"fan-out, shared connections: server CPU for a delivery, frames of {size}",
            f"delivery in frames of {size}, shared connections cpu",
        )
        for size in (1, 10)
    ),
    *(Row(f"trading p99, {name}", f"trading, {name} p99", ("trading, quiet p99",)) for name in WAYS),
    *(Row(f"trading rate, {name}", f"trading, {name} rate", ("trading, quiet rate",)) for name in WAYS),
    *(Row(f"signals of the flood, {name}", f"flood, {name} rate") for name in WAYS),
    Row("most connections of the service", "connections of the service"),
    Row("unary, 2 clients, 2 workers", "unary, 2 workers rate", ("unary, 1 worker rate",)),
    Row("fan-out delivery p99, 2 workers", "fan-out delivery, 2 workers p99", ("fan-out delivery, 1 worker p99",)),
)
