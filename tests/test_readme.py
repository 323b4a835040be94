"""What the documents say is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from ai_grpc.settings import Settings
from ai_grpc.v1 import models_pb2, signals_pb2

ROOT: Final = Path(__file__).parents[1]
DOCUMENTS: Final = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
README: Final = (ROOT / "README.md").read_text()


def test_the_readme_names_every_setting_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(?:AI_GRPC_)?([A-Z_]+)` \|\s*([^|]*?)\s*\|", README, re.MULTILINE))
    assert set(rows) == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, int | float):
            assert float(rows[name.upper()]) == field.default, name
        elif isinstance(field.default, str):
            assert rows[name.upper()] == f"`{field.default}`"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_targets_and_files_that_exist(document: Path) -> None:
    text = document.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:^|`)make ((?:[a-z]+ ?)+)", text, re.MULTILINE)
    assert {target for words in named for target in words.split()} <= targets
    for link in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (ROOT / link).exists(), link


def test_the_examples_of_the_readme_are_python_and_the_calls_exist() -> None:
    for example in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        assert len([line for line in example.splitlines() if line]) <= 11
        ast.parse(example)
    methods = {
        f"{service.full_name}/{method.name}"
        for file in (models_pb2, signals_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    called = set(re.findall(r"ai_grpc\.v1\.\w+/\w+", README))
    assert called
    assert called <= methods
