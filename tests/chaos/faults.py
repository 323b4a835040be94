"""The table of faults: a name, the part of the world it troubles, and how it begins and heals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from tests.chaos.arena import Arena

Inject = Callable[[Arena, Random], AsyncIterator[None]]


class Part(StrEnum):
    """What a fault troubles: of one part, one fault at a time."""

    PROCESSES = "processes"
    DATABASE = "database"
    DATABASE_LINES = "lines to the database"
    CLIENT_LINES = "lines to the clients"
    CLIENTS = "clients"


@dataclass(frozen=True, slots=True)
class Fault:
    """It begins when `inject` is entered and is healed when it is left."""

    name: str
    part: Part
    text: str
    inject: Callable[[Arena, Random], AbstractAsyncContextManager[None]]


FAULTS: Final[dict[str, Fault]] = {}


def fault(name: str, part: Part) -> Callable[[Inject], Inject]:
    """Enters the function in the table; its docstring says what happens."""

    def enter(inject: Inject) -> Inject:
        FAULTS[name] = Fault(name, part, (inject.__doc__ or "").strip(), asynccontextmanager(inject))
        return inject

    return enter
