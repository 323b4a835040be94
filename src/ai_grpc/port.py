"""A port that several processes of one service listen on, and nobody else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from ai_grpc.errors import ConfigurationError

WILDCARDS: Final = {"", "::", "0.0.0.0"}


@contextmanager
def held_port(host: str, port: int) -> Iterator[int]:
    """Keeps the port for processes that share it by SO_REUSEPORT; yields its number, which the system chooses for 0.

    Raises ConfigurationError when somebody else has it.
    """
    with ExitStack() as sockets:
        try:
            for family, address in _addresses(host):
                holder = sockets.enter_context(socket.socket(family, socket.SOCK_STREAM))
                _hold(holder, (address[0], port, *address[2:]))
                port = holder.getsockname()[1]
        except OSError as error:
            raise ConfigurationError(
                f"{host}:{port} cannot be listened on ({error.strerror}): is the port taken? Choose another --port"
            ) from error
        yield port


def _addresses(host: str) -> list[tuple[int, tuple[Any, ...]]]:
    """Where gRPC listens under this name: any wildcard is IPv6 and IPv4."""
    bare = host.removeprefix("[").removesuffix("]")
    if bare in WILDCARDS:
        return [(socket.AF_INET6, ("::", 0, 0, 0)) if socket.has_dualstack_ipv6() else (socket.AF_INET, ("0.0.0.0", 0))]
    return [(found[0], found[4]) for found in socket.getaddrinfo(bare, None, type=socket.SOCK_STREAM)]


def _hold(holder: socket.socket, address: tuple[Any, ...]) -> None:
    if holder.family == socket.AF_INET6:
        holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
    # Alone at first, or the kernel would let it in beside the workers of another service of the same user; only the
    # connections that the last service left behind may stand in no way.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(address)
    # From now on the workers come in, and nobody who wants the port for himself. It never listens: it would be given
    # connections.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
