"""What a bug that is put into the product on purpose consists of."""

from __future__ import annotations

from dataclasses import dataclass

from tests.chaos.edits import Edit
from tests.chaos.ledgers import SIGNALS, Ledger


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug: the edits that make it, the invariants of which at least one reveals it, and the faults that it needs.

    `preparation` is SQL that is run before the functions are edited. `ledger` is the log in which it shows. A bug that
    is not `quick` has one beside it that is, of the same code or of the same kind.
    """

    name: str
    sentence: str
    reveals: tuple[str, ...]
    faults: tuple[str, ...] = ()
    python: tuple[Edit, ...] = ()
    sql: tuple[Edit, ...] = ()
    preparation: str = ""
    quick: bool = True
    ledger: Ledger = SIGNALS
