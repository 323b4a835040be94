"""Changes of the product for tests only, made in the text of a function: they fail when that text is no more."""

from __future__ import annotations
import __future__

import importlib
import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from operator import attrgetter
from types import FunctionType
from typing import Any, Final, cast

import asyncpg

DEFINITION: Final = "SELECT pg_get_functiondef(to_regproc($1))"


@dataclass(frozen=True, slots=True)
class Edit:
    """A piece of a function's text, and what is to stand there. `where` is `module:Class.method` or an SQL function."""

    where: str
    old: str
    new: str


def edited(text: str, edits: Iterable[Edit]) -> str:
    """The text with all edits made. Raises ValueError if a piece is not there just once."""
    for edit in edits:
        if text.count(edit.old) != 1:
            raise ValueError(f"{edit.where} has {text.count(edit.old)} times, not once: {edit.old}")
        text = text.replace(edit.old, edit.new)
    return text


def edit_python(edits: Sequence[Edit]) -> None:
    """Changes functions of this process where they are, for everybody who holds them."""
    for where, own in groupby(sorted(edits, key=attrgetter("where")), attrgetter("where")):
        module, _, path = where.partition(":")
        function: Any = reduce(getattr, path.split("."), cast(Any, importlib.import_module(module)))
        source = edited(inspect.getsource(function), own)
        nested = source if source.startswith(("def", "async")) else f"if True:\n{source}"
        names: dict[str, FunctionType] = {}
        flags = __future__.annotations.compiler_flag
        exec(compile(nested, f"<{where}, edited>", "exec", flags), function.__globals__, names)
        function.__code__ = names[function.__name__].__code__


async def edit_sql(connection: asyncpg.Connection, edits: Sequence[Edit]) -> None:
    """Replaces functions of a database."""
    for where, own in groupby(sorted(edits, key=attrgetter("where")), attrgetter("where")):
        await connection.execute(edited(await connection.fetchval(DEFINITION, where), own))
