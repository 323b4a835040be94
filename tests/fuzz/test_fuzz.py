"""Whatever is sent, the service keeps its contract; and a service that does not is found out."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.fuzz.campaign import CHANGES, STAYS, fuzz
from tests.fuzz.findings import Result
from tests.fuzz.target import target_on

# For each method.
INPUTS: Final = 110
FEW: Final = 50
FAULTY: Final = [f"ai_grpc.v1.{name}Service" for name in ("Model", "Signal", "Training")]
SEED: Final = 3

# The faults of `tests.fuzz.faults` that do not end the process, the methods that have them, and how they show.
FOUND: Final[dict[str, tuple[str, str | tuple[str, ...]]]] = {
    "raises": ("ResolveModelAlias", "INTERNAL: the server has a fault"),
    "writes a row": ("RegisterModel", STAYS),
    "changes a row": ("UpdateModel", CHANGES),
    "stores an episode": ("AddEpisodes", (CHANGES, STAYS)),
    "gives no reason": ("GetSignal", "INVALID_ARGUMENT does not carry exactly one ErrorInfo"),
    "leaks": ("", "the server's memory grew by"),
}


async def test_every_method_keeps_the_contract_whatever_it_is_sent(database: str, tmp_path: Path) -> None:
    async with target_on(database, tmp_path / "log", SEED) as target:
        count = INPUTS * len(target.methods)
        result = await fuzz(target, count)
    assert not result.findings, result.findings[0]
    assert result.calls.total() == count
    accepted = {path for path, status in result.calls if status == "OK"}
    assert accepted == {method.path for method in target.methods}


async def test_faults_of_the_program_are_found(database: str, tmp_path: Path) -> None:
    program = ("tests.fuzz.faults", ",".join(FOUND), "serve")
    async with target_on(database, tmp_path / "log", SEED, program, FAULTY) as target:
        count = INPUTS * len(target.methods)
        result = await fuzz(target, count)
    for fault, (method, text) in FOUND.items():
        assert _is_found(result, method, text), f"a program that {fault}: {result.findings}"


async def test_a_crash_is_found(database: str, tmp_path: Path) -> None:
    async with target_on(database, tmp_path / "log", SEED, ("tests.fuzz.faults", "dies", "serve")) as target:
        count = FEW * len(target.methods)
        result = await fuzz(target, count)
    assert _is_found(result, "ListModels", "the server died")
    assert result.calls.total() < count


def _is_found(result: Result, method: str, text: str | tuple[str, ...]) -> bool:
    return any(
        finding.text.startswith(text) and (not method or (finding.sent and finding.sent.method.path.endswith(method)))
        for finding in result.findings
    )
