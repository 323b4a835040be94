"""The contract, the schema and the queries say the same thing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import asyncpg
import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, EnumDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from ai_grpc.db import load_queries
from ai_grpc.records import bound
from ai_grpc.v1 import errors_pb2, optimization_pb2, signals_pb2, training_pb2
from tests.signals import execute

ROOT: Final = Path(__file__).parents[1]
STUBS: Final = ROOT / "src" / "ai_grpc" / "v1"
PROTOS: Final = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "protos" / "ai_grpc" / "v1").glob("*.proto"))
BIN: Final = Path(sys.executable).parent
# Columns that a query may have beside those of its message.
BESIDES: Final = {
    "page_time",
    "page_id",
    "page_number",
    "page_score",
    "differing",
    "duplicate",
    "status",
    "too_many_bytes",
}

ENUMS: Final[list[tuple[str, EnumDescriptor, str]]] = [
    ("signal_type_is_known", signals_pb2.SignalType.DESCRIPTOR, "SIGNAL_TYPE_"),
    ("status_is_known", signals_pb2.SignalState.DESCRIPTOR, "SIGNAL_STATE_"),
    ("kind_is_known", signals_pb2.SignalEvent.Kind.DESCRIPTOR, "KIND_"),
    ("training_status_is_known", training_pb2.TrainingState.DESCRIPTOR, "TRAINING_STATE_"),
    ("optimization_status_is_known", optimization_pb2.OptimizationState.DESCRIPTOR, "OPTIMIZATION_STATE_"),
    ("direction_is_known", optimization_pb2.FitnessDirection.DESCRIPTOR, "FITNESS_DIRECTION_"),
]

EVENT_LOG: Final = (("event_log", "sequence"), ("event_log_meta", "floor"))
STEMS: Final = sorted(path.stem for path in (ROOT / "src" / "ai_grpc" / "queries").glob("*.sql"))
QUERIES: Final = {(stem, name): bound(sql)[0] for stem in STEMS for name, sql in load_queries(stem).items()}
COUNT_PARAMETERS: Final = "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'query'"
# Rights to columns have the name of the column. A repetition of an insert takes that to update the key.
WRITES: Final = {
    "ai_models": {"INSERT", "UPDATE"},
    "ai_model_aliases": {"INSERT", "UPDATE", "DELETE"},
    "training_sessions": {"INSERT", "UPDATE"},
    "rl_episodes": {"INSERT", "UPDATE session_id"},
    "optimization_runs": {"INSERT", "UPDATE"},
    "optimization_generations": {"INSERT"},
    "optimization_individuals": {"INSERT"},
    "feature_data": {"INSERT", "UPDATE"},
    "spectrum_analysis": {"INSERT", "UPDATE analysis_id"},
    "anomaly_detections": {
        "INSERT",
        *(f"UPDATE {name}" for name in ("anomaly_id", "resolved", "resolution_timestamp", "resolution_note")),
    },
    "signal_performance": {"INSERT", "UPDATE performance_id"},
    "model_performance": {"INSERT", "UPDATE performance_id"},
}
RIGHTS: Final = """
SELECT relation, array_agg(own) AS rights
FROM (
  SELECT c.relname::text, a.privilege_type, a.grantee
  FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE c.relnamespace = 'ai_trading'::regnamespace
  UNION ALL
  SELECT c.relname::text, a.privilege_type || ' ' || t.attname, a.grantee
  FROM pg_class AS c JOIN pg_attribute AS t ON t.attrelid = c.oid, aclexplode(t.attacl) AS a
  WHERE c.relnamespace = 'ai_trading'::regnamespace
) AS granted (relation, own, grantee)
WHERE grantee IN (0, 'ai_trading_service'::regrole) AND own <> 'SELECT'
GROUP BY relation
"""
DEFINITION: Final = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1"
INDEXES: Final = {
    "idx_ai_signals_symbol_time",
    "idx_ai_signals_model_time",
    "idx_ai_signals_type_confidence",
    "idx_ai_signals_model_status",
    "idx_training_sessions_active",
    "idx_training_sessions_model_time",
    "idx_rl_episodes_reward",
    "idx_feature_data_symbol_time",
    "idx_feature_data_set_time",
    "idx_optimization_individuals_run_gen",
    "idx_optimization_individuals_fitness",
    "idx_anomaly_detections_symbol_time",
    "idx_anomaly_detections_severity",
    "idx_anomaly_detections_unresolved",
    "idx_spectrum_analysis_symbol_time",
    "idx_spectrum_analysis_type_time",
    "idx_model_performance_model_period",
    "idx_model_performance_sharpe",
}


@pytest.fixture
async def service(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the service's role, whose plans are those of any argument."""
    settings = {"role": "ai_trading_service", "search_path": "ai_trading", "plan_cache_mode": "force_generic_plan"}
    connection = await asyncpg.connect(database, server_settings=settings, timeout=10)
    yield connection
    await connection.close(timeout=10)


async def test_every_query_is_valid_on_the_schema_and_allowed_to_the_service(service: asyncpg.Connection) -> None:
    for query, sql in QUERIES.items():
        try:
            await service.execute(f"PREPARE query AS {sql}")
            count = await service.fetchval(COUNT_PARAMETERS)
            # Preparing asks for no privilege, beginning to execute does.
            await service.execute(f"EXPLAIN EXECUTE query ({', '.join(['NULL'] * count)})".replace("()", ""))
        except asyncpg.PostgresError as error:
            pytest.fail(f"{query}: {error}")
        await service.execute("DEALLOCATE query")


async def test_a_row_has_the_fields_of_its_message(service: asyncpg.Connection, subtests: pytest.Subtests) -> None:
    for (stem, query), sql in QUERIES.items():
        # Those of the logs read what is encoded already, or is encoded at once.
        if stem not in ("log", "events") and (function := re.search(r"(\w+)_message\(", sql)):
            with subtests.test(f"{stem} {query}"):
                fields = _message_of(function[1]).fields_by_name
                columns = {column.name for column in (await service.prepare(sql)).get_attributes()}
                assert columns - BESIDES == set(fields)


async def test_a_column_holds_the_names_of_its_enum(database: str) -> None:
    for constraint, enum, prefix in ENUMS:
        rows = await execute(database, DEFINITION, constraint)
        names = [value.name.removeprefix(prefix) for value in enum.values if value.number]
        assert [name.upper() for name in re.findall(r"'(\w+)'", rows[0][0])] == names


async def test_the_indexes_of_the_specification_exist(database: str) -> None:
    rows = await execute(database, "SELECT indexname FROM pg_indexes WHERE schemaname = 'ai_trading'")
    assert {row["indexname"] for row in rows} >= INDEXES


async def test_the_service_cannot_write_the_log_but_by_its_functions(
    service: asyncpg.Connection, subtests: pytest.Subtests
) -> None:
    for table, column in (("ai_signals", "sequence"), ("signal_log", "sequence"), ("log_meta", "floor"), *EVENT_LOG):
        for statement in (
            f"INSERT INTO {table} DEFAULT VALUES",
            f"UPDATE {table} SET {column} = {column}",
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
        ):
            with subtests.test(statement), pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute(statement)


async def test_the_service_cannot_shorten_a_log(service: asyncpg.Connection) -> None:
    for call in ("trim_signal_log(1)", "trim_event_log(now())"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(f"SELECT {call}")


async def test_the_service_may_write_what_it_has_to_and_nothing_else(database: str) -> None:
    rows = await execute(database, RIGHTS)
    assert {row["relation"]: set(row["rights"]) for row in rows} == WRITES


def test_the_stubs_are_those_of_the_protos(tmp_path: Path) -> None:
    kinds = ["--python_out", "--grpc_python_out", "--mypy_out", "--mypy_grpc_out"]
    quiet = {"--mypy_out": "quiet:", "--mypy_grpc_out": "quiet:"}
    _protoc(*(f"{kind}={quiet.get(kind, '')}{tmp_path}" for kind in kinds))
    fresh = {path.name: path.read_bytes() for path in (tmp_path / "ai_grpc" / "v1").iterdir()}
    # They hold no service.
    for stem in ("errors", "periods", "streams"):
        del fresh[f"{stem}_pb2_grpc.py"], fresh[f"{stem}_pb2_grpc.pyi"]
    committed = {path.name: path.read_bytes() for path in STUBS.glob("*_pb2*.py*")}
    assert sorted(committed) == sorted(fresh)
    assert [name for name in fresh if committed[name] != fresh[name]] == []


def test_each_reason_says_which_status_it_travels_with(tmp_path: Path) -> None:
    output = tmp_path / "descriptors"
    _protoc("--include_source_info", f"--descriptor_set_out={output}")
    files = FileDescriptorSet.FromString(output.read_bytes()).file
    file = next(file for file in files if file.name == "ai_grpc/v1/errors.proto")
    comments = {
        location.path[3]: location.leading_comments.strip()
        for location in file.source_code_info.location
        if list(location.path[:1]) == [5] and len(location.path) == 4
    }
    codes = {code.name for code in grpc.StatusCode}
    reasons = errors_pb2.ErrorReason.DESCRIPTOR.values
    silent = [each.name for each in reasons if comments.get(each.index, "").partition(". ")[0] not in codes]
    assert silent == ["ERROR_REASON_UNSPECIFIED"]


@pytest.mark.parametrize("arguments", [["lint"], ["format", "--diff", "--exit-code"]])
def test_buf_has_nothing_to_say(arguments: list[str]) -> None:
    result = subprocess.run([BIN / "buf", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (result.stdout, result.returncode) == ("", 0), result.stderr


def _message_of(function: str) -> Descriptor:
    """The message that `training_session_message(…)` makes: TrainingSession."""
    name = "".join(word.capitalize() for word in function.split("_"))
    return descriptor_pool.Default().FindMessageTypeByName(f"ai_grpc.v1.{name}")


def _protoc(*outputs: str) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", "-Iprotos", *outputs, *PROTOS]
    # The plugins stand beside the interpreter.
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
