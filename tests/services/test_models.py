"""The registry of models, as a trainer and a publisher use it."""

from __future__ import annotations

import asyncio
import math
import uuid
from itertools import chain
from typing import Any, Final

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from ai_grpc.v1 import models_pb2 as pb
from ai_grpc.v1.models_pb2_grpc import ModelServiceStub
from ai_grpc.v1.signals_pb2 import PublishSignalsRequest
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.signals import (
    a_model,
    a_signal,
    a_struct,
    an_active_model,
    an_exchange,
    details,
    execute,
    refusal,
    sort_always,
)

BODY: Final[dict[str, Any]] = {
    "model_type": "genetic_optimization",
    "model_subtype": "deap",
    "description": "Crosses averages.",
    "configuration": {"population": 50, "rates": [0.5, 0.25], "seed": None},
}
NESTED: Final[dict[str, Any]] = {"level": {}}
for _ in range(16):
    NESTED["level"] = {"level": NESTED["level"]}

FAULTS: Final[list[tuple[str, Any, str]]] = [
    ("RegisterModel", a_model(model_name=""), "model_name"),
    ("RegisterModel", a_model(model_name="x" * 101), "model_name"),
    ("RegisterModel", a_model(model_name="a\0b"), "model_name"),
    ("RegisterModel", a_model(version=""), "version"),
    ("RegisterModel", a_model(version="x" * 21), "version"),
    ("RegisterModel", a_model(model_type=""), "model_type"),
    ("RegisterModel", a_model(model_type="x" * 51), "model_type"),
    ("RegisterModel", a_model(model_subtype="x" * 51), "model_subtype"),
    ("RegisterModel", a_model(description="x" * 10_001), "description"),
    ("RegisterModel", a_model(configuration={"rate": math.nan}), "configuration"),
    ("RegisterModel", a_model(configuration={"rate": math.inf}), "configuration"),
    ("RegisterModel", a_model(configuration={"text": "a\0b"}), "configuration"),
    ("RegisterModel", a_model(configuration={"text": "x" * 65_536}), "configuration"),
    ("RegisterModel", a_model(configuration=NESTED), "configuration"),
    ("GetModel", pb.GetModelRequest(), "model_id"),
    ("GetModel", pb.GetModelRequest(model_id="champion"), "model_id"),
    ("ListModels", pb.ListModelsRequest(page_size=-1), "page_size"),
    ("ListModels", pb.ListModelsRequest(page_token="next"), "page_token"),
    ("ListModels", pb.ListModelsRequest(model_name="a\0b"), "model_name"),
    ("UpdateModel", pb.UpdateModelRequest(), "model.model_id"),
    ("SetModelActive", pb.SetModelActiveRequest(model_id=str(uuid.uuid4())), "active"),
    ("SetModelAlias", pb.SetModelAliasRequest(model_id="1", alias="champion"), "model_id"),
    ("ResolveModelAlias", pb.ResolveModelAliasRequest(model_name="a", alias="\0"), "alias"),
]


async def test_a_registered_model_is_read_as_it_was_given(database: str) -> None:
    async with an_exchange(database) as channel:
        stub = ModelServiceStub(channel)
        request = a_model(**BODY)
        registered = await stub.RegisterModel(request)
        model = registered.model
        assert not registered.duplicate
        assert pb.RegisterModelRequest(
            **{name: getattr(model, name) for name in request.DESCRIPTOR.fields_by_name}
        ) == (request)
        assert (model.active, list(model.aliases), model.HasField("performance_metrics")) == (True, [], False)
        assert model.create_time.ToMicroseconds() > 0
        assert (await stub.GetModel(pb.GetModelRequest(model_id=model.model_id))).model == model
        assert (await stub.ListModels(pb.ListModelsRequest())).models == [model]


async def test_registering_again_returns_the_first_model(database: str) -> None:
    async with an_exchange(database) as channel:
        stub, request = ModelServiceStub(channel), a_model(**BODY)
        first = await stub.RegisterModel(request)
        again = await stub.RegisterModel(request)
        assert (again.duplicate, again.model) == (True, first.model)


async def test_another_body_is_refused_with_the_fields_that_differ(database: str) -> None:
    async with an_exchange(database) as channel:
        stub, request = ModelServiceStub(channel), a_model(**BODY)
        first = await stub.RegisterModel(request)
        request.MergeFrom(pb.RegisterModelRequest(description="Another.", configuration=a_struct(population=60)))
        error = await refusal(stub.RegisterModel(request))
        assert error.code() == grpc.StatusCode.ALREADY_EXISTS
        metadata = {"model_id": first.model.model_id, "fields": "description,configuration"}
        assert details(error)[:2] == ("MODEL_EXISTS", metadata)
        named = {"model_name": request.model_name, "version": request.version}
        changes = {"model_type": "genetic", "model_subtype": "dqn", "description": "Another.", "configuration": None}
        for field, value in changes.items():
            error = await refusal(stub.RegisterModel(a_model(**{**BODY, **named, field: value})))
            assert details(error)[:2] == ("MODEL_EXISTS", {"model_id": first.model.model_id, "fields": field})
        assert (await stub.ListModels(pb.ListModelsRequest())).models == [first.model]


async def test_of_concurrent_registrations_one_makes_the_model(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database) as other:
        stubs, request = [ModelServiceStub(one), ModelServiceStub(other)], a_model()
        responses = await asyncio.gather(*(stub.RegisterModel(request) for stub in stubs * 5))
        assert len({response.model.model_id for response in responses}) == 1
        assert sorted(response.duplicate for response in responses) == [False] + [True] * 9


async def test_an_update_replaces_what_its_mask_names(database: str) -> None:
    async with an_exchange(database) as channel:
        stub = ModelServiceStub(channel)
        before = (await stub.RegisterModel(a_model(**BODY))).model
        change = pb.Model(model_id=before.model_id, description="Left alone.", performance_metrics=a_struct(sharpe=1.5))
        mask = FieldMask(paths=["performance_metrics", "configuration"])
        after = (await stub.UpdateModel(pb.UpdateModelRequest(model=change, update_mask=mask))).model
        assert (after.description, dict(after.performance_metrics)) == (BODY["description"], {"sharpe": 1.5})
        assert not after.HasField("configuration")
        assert after.update_time.ToMicroseconds() > before.update_time.ToMicroseconds()


async def test_an_update_without_a_mask_replaces_what_is_set(database: str) -> None:
    async with an_exchange(database) as channel:
        stub = ModelServiceStub(channel)
        before = (await stub.RegisterModel(a_model(**BODY))).model
        change = pb.Model(model_id=before.model_id, version="ignored", description="New.")
        after = (await stub.UpdateModel(pb.UpdateModelRequest(model=change))).model
        before.MergeFrom(pb.Model(description="New.", update_time=after.update_time))
        assert after == before


async def test_an_update_names_the_path_that_cannot_be_replaced(database: str) -> None:
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        change = pb.Model(model_id=model_id, description="New.", version="2")
        mask = FieldMask(paths=["description", "version"])
        request = pb.UpdateModelRequest(model=change, update_mask=mask)
        error = await refusal(ModelServiceStub(channel).UpdateModel(request))
        assert details(error)[:3] == ("INVALID_FIELD", {}, ["update_mask.paths[1]"])
        stored = await ModelServiceStub(channel).GetModel(pb.GetModelRequest(model_id=model_id))
        assert stored.model.description == ""


async def test_an_update_names_the_metrics_that_cannot_be_stored(database: str) -> None:
    async with an_exchange(database) as channel:
        change = pb.Model(model_id=await an_active_model(channel), performance_metrics=a_struct(sharpe=math.nan))
        error = await refusal(ModelServiceStub(channel).UpdateModel(pb.UpdateModelRequest(model=change)))
        assert details(error)[:3] == ("INVALID_FIELD", {}, ["model.performance_metrics"])


async def test_a_model_that_is_off_is_refused_at_once_on_every_replica(database: str) -> None:
    async with an_exchange(database) as one, an_exchange(database) as other:
        model_id = await an_active_model(one)
        for active in (False, True, False):
            await ModelServiceStub(one).SetModelActive(pb.SetModelActiveRequest(model_id=model_id, active=active))
            publication = SignalServiceStub(other).PublishSignals(PublishSignalsRequest(signals=[a_signal(model_id)]))
            if active:
                await publication
            else:
                error = await refusal(publication)
                assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
                assert details(error)[:2] == ("MODEL_INACTIVE", {"model_id": model_id})


async def test_an_alias_points_to_one_version_until_it_is_removed(database: str) -> None:
    async with an_exchange(database) as channel:
        stub = ModelServiceStub(channel)
        one, two = [await an_active_model(channel, model_name="trend", version=version) for version in "12"]
        resolve = pb.ResolveModelAliasRequest(model_name="trend", alias="champion")
        for model_id, alias in ((one, "champion"), (two, "shadow"), (two, "champion")):
            response = await stub.SetModelAlias(pb.SetModelAliasRequest(model_id=model_id, alias=alias))
            assert alias in response.model.aliases
        assert (await stub.ResolveModelAlias(resolve)).model.model_id == two
        models = {model.model_id: model for model in (await stub.ListModels(pb.ListModelsRequest())).models}
        assert (list(models[one].aliases), list(models[two].aliases)) == ([], ["champion", "shadow"])
        other = await an_active_model(channel, model_name="swing")
        await stub.SetModelAlias(pb.SetModelAliasRequest(model_id=other, alias="champion"))
        for _ in range(2):
            await stub.RemoveModelAlias(pb.RemoveModelAliasRequest(model_name="trend", alias="champion"))
        error = await refusal(stub.ResolveModelAlias(resolve))
        assert error.code() == grpc.StatusCode.NOT_FOUND
        assert details(error)[:2] == ("MODEL_NOT_FOUND", {"model_name": "trend", "alias": "champion"})
        resolve.model_name = "swing"
        assert (await stub.ResolveModelAlias(resolve)).model.model_id == other


async def test_an_alias_is_lower_case(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        model_id = await an_active_model(channel)
        for alias in ("", "Champion", "1st", "a b", "a" * 51, "é"):
            with subtests.test(alias):
                request = pb.SetModelAliasRequest(model_id=model_id, alias=alias)
                error = await refusal(ModelServiceStub(channel).SetModelAlias(request))
                assert details(error)[:3] == ("INVALID_FIELD", {}, ["alias"])


async def test_an_unknown_model_is_not_found(database: str) -> None:
    model_id = str(uuid.uuid4())
    async with an_exchange(database) as channel:
        stub = ModelServiceStub(channel)
        for call in (
            stub.GetModel(pb.GetModelRequest(model_id=model_id)),
            stub.UpdateModel(pb.UpdateModelRequest(model=pb.Model(model_id=model_id, description="New."))),
            stub.SetModelActive(pb.SetModelActiveRequest(model_id=model_id, active=False)),
            stub.SetModelAlias(pb.SetModelAliasRequest(model_id=model_id, alias="champion")),
        ):
            error = await refusal(call)
            assert error.code() == grpc.StatusCode.NOT_FOUND
            assert details(error)[:2] == ("MODEL_NOT_FOUND", {"model_id": model_id})


async def test_an_answer_stays_short_enough_for_trailers_whatever_was_asked(database: str) -> None:
    async with an_exchange(database) as channel:
        stub = ModelServiceStub(channel)
        resolve = pb.ResolveModelAliasRequest(model_name="€" * 10_000, alias="€" * 10_000)
        error = await refusal(stub.ResolveModelAlias(resolve))
        assert (error.code(), details(error).reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
        error = await refusal(stub.UpdateModel(pb.UpdateModelRequest(update_mask=FieldMask(paths=["€" * 500] * 500))))
        assert (error.code(), details(error).reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_all_pages_together_hold_every_model_once(database: str) -> None:
    await sort_always(database)
    async with an_exchange(database) as channel:
        stub = ModelServiceStub(channel)
        ids = [await an_active_model(channel) for _ in range(7)]
        await execute(database, "UPDATE ai_models SET created_at = now() WHERE model_id <> $1", ids[0])
        request = pb.ListModelsRequest(page_size=3)
        pages: list[list[str]] = []
        while not pages or request.page_token:
            response = await stub.ListModels(request)
            pages.append([model.model_id for model in response.models])
            request.page_token = response.next_page_token
        assert [len(page) for page in pages] == [3, 3, 1]
        assert sorted(chain.from_iterable(pages)) == sorted(ids)
        assert pages[-1] == ids[:1]


async def test_a_list_holds_what_all_its_fields_select(database: str) -> None:
    async with an_exchange(database) as channel:
        stub = ModelServiceStub(channel)
        trend, other_type, other_name, off = [
            await an_active_model(channel, model_name=name, version=version, model_type=kind)
            for name, version, kind in (("a", "1", "t"), ("a", "2", "u"), ("b", "1", "t"), ("a", "3", "t"))
        ]
        await stub.SetModelActive(pb.SetModelActiveRequest(model_id=off, active=False))
        for selection, expected in (
            ({"model_name": "a"}, {trend, other_type, off}),
            ({"model_type": "t"}, {trend, other_name, off}),
            ({"active": False}, {off}),
            ({"model_name": "a", "model_type": "t", "active": True}, {trend}),
        ):
            response = await stub.ListModels(pb.ListModelsRequest(**selection))
            assert {model.model_id for model in response.models} == expected


async def test_the_field_at_fault_is_named(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        for method, request, field in FAULTS:
            with subtests.test(method, field=field):
                error = await refusal(getattr(ModelServiceStub(channel), method)(request))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, [field])
    assert await execute(database, "SELECT FROM ai_models") == []
