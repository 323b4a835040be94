"""Why a row misses its target, by the name of the row; a rerun keeps what stands here."""

from __future__ import annotations

_WAITING = (
    "About 120 µs are the service's: the guard around the call 45, the checks 40, the answer 30. The rest is in"
    " neither ceiling: client and server have waited a millisecond for the database, their caches are cold and "
    "their processors have slept, which is dear on a virtual machine."
)
_BYTES = (
    "The peer appends bytes. Here a signal costs PostgreSQL 35 µs: constraints, four decimals, JSON and nine "
    "entries in indexes, so that it can be joined to trading data. All three processes share two cores."
)

REASONS: dict[str, str] = {
    "unary ack p50, one in flight": _WAITING,
    "publish stream ack p50, one in flight": _WAITING,
    "unary, 128 in flight": (
        "A call costs 60 µs of the server and 40 µs of PostgreSQL more than an empty one, on the same two "
        "cores; gRPC itself takes 200 µs of the server and 160 µs of the client for each."
    ),
    "SDK publisher, 128 in flight, to direct append": (
        "Client, server and PostgreSQL take 10, 26 and 35 µs a signal and share two cores, and after each "
        "append PostgreSQL waits while Python reads the answer and sends the next. The direct append shares "
        "with nobody."
    ),
    "SDK publisher, 128 in flight, to Redis": _BYTES,
    "SDK publisher, 128 in flight, to JetStream": f"{_BYTES} And JetStream answers before its fsync.",
    "SDK publisher, one in flight, to Redis": (
        "A round trip of gRPC takes 510 µs on this machine and an append 540, where Redis answers in 310."
    ),
    "bulk, requests of 1,000": (
        "The append function alone writes 41,000 rows a second, 0.75 of COPY. Between two messages PostgreSQL "
        "waits for Python, which reads a thousand answers and encodes a thousand rows, and which checks the "
        "next message on the core that the client needs too."
    ),
    "episodes, one stream": (
        "An episode costs PostgreSQL 16 µs in the statement that finds repetitions and 11 in COPY, and the server 13 "
        "to convert. These go on at the same time, but client, server and PostgreSQL share two cores."
    ),
    "replay from the database, to raw SELECT": (
        "One thread reads the rows, splices the events (1.5 µs each) and sends them; the SELECT has a thread "
        "for itself."
    ),
    "fan-out, 100 signals a second: delivery p99": (
        "A write to a connection costs 40 µs here, most of it system calls and the way between gRPC's threads, "
        "so a round over 1,000 of them takes 30 to 40 ms, with the subscribers on the same two cores."
    ),
    "fan-out: server CPU for a delivery, frames of 1": (
        "Of a frame, sending it (sendmsg) takes 13 µs, waking the event loop when it is sent 12, gRPC for "
        "Python 10, and the exchange 8. At 100 signals a second frames carry four, and a delivery costs 12 µs."
    ),
    "fan-out: server CPU for a delivery, frames of 10": "As above: it is a tenth of a frame.",
    "trading p99 under the flood": (
        "NOTIFY in each transaction of the unbounded pool takes a lock of the whole cluster, which holds the "
        "flood itself down to 2,000 signals a second and so spares pgbench. Without it the pool takes pgbench "
        "much further (*INSERT alone*) than the service does with twice the signals (*without a pace*)."
    ),
}
