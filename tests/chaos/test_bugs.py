"""The checker finds every seeded bug, by an invariant that may reveal it, and finds nothing where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.bugs import BUGS
from tests.chaos.checker import INVARIANTS, check
from tests.chaos.drill import drill
from tests.chaos.edits import Edit, edited
from tests.chaos.ledgers import LEDGERS, Ledger
from tests.chaos.seeded import Bug
from tests.conftest import a_database, at

DRILLS = 3
CASES = [pytest.param(bug, id=bug.name, marks=[] if bug.quick else [pytest.mark.long]) for bug in BUGS.values()]


@pytest.mark.parametrize("ledger", LEDGERS, ids=lambda ledger: ledger.name)
@pytest.mark.parametrize("faults", [["F1"], ["F3", "F10", "F14", "F17", "F18"]], ids=",".join)
async def test_product_as_it_is_breaks_nothing(
    database: str, tmp_path: Path, ledger: Ledger, faults: list[str]
) -> None:
    violations = check(await drill(database, tmp_path, faults=faults, ledger=ledger))
    assert not violations, "\n".join(map(str, violations))


@pytest.mark.parametrize("bug", CASES)
async def test_bug_is_found(postgres: str, template: str, tmp_path: Path, bug: Bug) -> None:
    found: set[str] = set()
    # Where the processors are busy, nothing may be in the way of anything in one drill.
    for number in range(DRILLS):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with a_database(postgres, template) as name:
            history = await drill(at(postgres, name), folder, bug.name, bug.faults, bug.ledger)
        found |= {violation.invariant for violation in check(history)}
        if found & set(bug.reveals):
            return
    pytest.fail(f"{bug.sentence} It broke {found or 'nothing'}, not one of {bug.reveals}.")


@pytest.mark.parametrize("text", ["", "lock; lock;"])
def test_bug_whose_text_is_no_more_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="not once: lock;"):
        edited(text, [Edit("a function", "lock;", "")])


def test_table_of_bugs_is_in_the_words_of_the_invariants() -> None:
    assert {name for bug in BUGS.values() for name in bug.reveals} <= INVARIANTS.keys()
