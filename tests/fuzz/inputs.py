"""The inputs of a run: each a function of the seed and its number, so that one can be had again without the others."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ai_grpc.server import MAX_MESSAGE
from tests.fuzz.messages import Author
from tests.fuzz.mutations import mutated
from tests.fuzz.surface import Method
from tests.fuzz.words import World

PRESENCE: Final = (0.4, 0.9, 1.0, 1.0)
SPITE: Final = (0.0, 0.0, 0.0, 0.02, 0.1, 0.5, 1.0)
RANDOM_SHARE: Final = 0.05
MUTATED_SHARE: Final = 0.35
STREAM_LENGTHS: Final = (0, 1, 1, 2, 3, 8)
SIZES: Final = (0, 1, 2, 10, 100, 1000, 65_536)


@dataclass(frozen=True, slots=True)
class Input:
    """One call: the method, and the bytes of each message that is sent."""

    method: Method
    messages: tuple[bytes, ...]

    @property
    def too_large(self) -> int | None:
        """Which message is the first that gRPC itself refuses."""
        return next((n for n, message in enumerate(self.messages) if len(message) > MAX_MESSAGE), None)


class Inputs:
    """All inputs of a seed."""

    def __init__(self, seed: int, methods: Sequence[Method], world: World) -> None:
        services = {method.service for method in methods}
        self._seed, self._methods = seed, methods
        self._world = replace(world, services=("", *sorted(services)))
        self._weights = [method.weight for method in methods]

    def __getitem__(self, number: int) -> Input:
        rng = random.Random(f"{self._seed}/{number}")
        method = rng.choices(self._methods, self._weights)[0]
        count = rng.choice(STREAM_LENGTHS) if method.client_streaming else 1
        return Input(method, tuple(self._message(method, rng) for _ in range(count)))

    def _message(self, method: Method, rng: random.Random) -> bytes:
        chance = rng.random()
        if chance < RANDOM_SHARE:
            return rng.randbytes(rng.choice(SIZES))
        message = self._written(method, rng)
        if chance < RANDOM_SHARE + MUTATED_SHARE:
            return mutated(message, rng, self._written(rng.choice(self._methods), rng))
        return message

    def _written(self, method: Method, rng: random.Random) -> bytes:
        author = Author(rng, self._world, presence=rng.choice(PRESENCE), spite=rng.choice(SPITE))
        return author.write(method.request).SerializeToString()
