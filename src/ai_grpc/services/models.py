"""ModelService: the registry of models."""

from __future__ import annotations

from typing import Any, Final

import asyncpg
import grpc

from ai_grpc.db import load_queries
from ai_grpc.errors import AlreadyExists, InvalidArgument, NotFound, Violation
from ai_grpc.pagination import page_of, paged
from ai_grpc.v1 import errors_pb2
from ai_grpc.v1 import models_pb2 as pb
from ai_grpc.v1.models_pb2_grpc import ModelServiceServicer

SQL = load_queries("models")
MUTABLE: Final = ("description", "configuration", "performance_metrics")

Context = grpc.aio.ServicerContext[Any, Any]


class ModelServicer(ModelServiceServicer):
    """Answers from `pool`; lists come from `reads`, which may be a replica."""

    def __init__(self, pool: asyncpg.Pool, reads: asyncpg.Pool) -> None:
        self._pool, self._reads = pool, reads

    async def RegisterModel(self, request: pb.RegisterModelRequest, context: Context) -> pb.RegisterModelResponse:
        body = (
            request.model_name,
            request.version,
            request.model_type,
            request.model_subtype,
            request.description,
            request.configuration if request.HasField("configuration") else None,
        )
        created = await self._pool.fetchval(SQL["register_model"], *body)
        differing, *_ = row = await self._pool.fetchrow(SQL["find_registered"], *body)
        model = _model(row)
        if differing:
            raise AlreadyExists(
                errors_pb2.ERROR_REASON_MODEL_EXISTS,
                f"version {model.version} of {model.model_name} is registered with another {', '.join(differing)};"
                " register a new version",
                model_id=model.model_id,
                fields=",".join(differing),
            )
        return pb.RegisterModelResponse(model=model, duplicate=created is None)

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        return pb.GetModelResponse(model=await self._model_of("get_model", request.model_id))

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        page = page_of(request)
        rows = await self._reads.fetch(
            SQL["list_models"],
            page.size + 1,
            page.after_time,
            page.after_id,
            request.model_name,
            request.model_type,
            request.active if request.HasField("active") else None,
        )
        models, token = paged(rows, page, _model)
        return pb.ListModelsResponse(models=models, next_page_token=token)

    async def UpdateModel(self, request: pb.UpdateModelRequest, context: Context) -> pb.UpdateModelResponse:
        model = request.model
        configuration = model.configuration if model.HasField("configuration") else None
        metrics = model.performance_metrics if model.HasField("performance_metrics") else None
        return pb.UpdateModelResponse(
            model=await self._model_of(
                "update_model", model.model_id, _updated(request), model.description, configuration, metrics
            )
        )

    async def SetModelActive(self, request: pb.SetModelActiveRequest, context: Context) -> pb.SetModelActiveResponse:
        if not request.HasField("active"):
            raise InvalidArgument(Violation("active", "is required"))
        return pb.SetModelActiveResponse(
            model=await self._model_of("set_model_active", request.model_id, request.active)
        )

    async def SetModelAlias(self, request: pb.SetModelAliasRequest, context: Context) -> pb.SetModelAliasResponse:
        await self._pool.execute(SQL["set_model_alias"], request.model_id, request.alias)
        return pb.SetModelAliasResponse(model=await self._model_of("get_model", request.model_id))

    async def ResolveModelAlias(
        self, request: pb.ResolveModelAliasRequest, context: Context
    ) -> pb.ResolveModelAliasResponse:
        row = await self._pool.fetchrow(SQL["resolve_model_alias"], request.model_name, request.alias)
        if row is None:
            raise NotFound(
                errors_pb2.ERROR_REASON_MODEL_NOT_FOUND,
                f"{request.model_name!r} has no alias {request.alias!r}",
                model_name=request.model_name,
                alias=request.alias,
            )
        return pb.ResolveModelAliasResponse(model=_model(row))

    async def RemoveModelAlias(
        self, request: pb.RemoveModelAliasRequest, context: Context
    ) -> pb.RemoveModelAliasResponse:
        await self._pool.execute(SQL["remove_model_alias"], request.model_name, request.alias)
        return pb.RemoveModelAliasResponse()

    async def _model_of(self, query: str, model_id: str, *arguments: object) -> pb.Model:
        row = await self._pool.fetchrow(SQL[query], model_id, *arguments)
        if row is None:
            raise NotFound(
                errors_pb2.ERROR_REASON_MODEL_NOT_FOUND, f"model {model_id} does not exist", model_id=model_id
            )
        return _model(row)


def _model(row: Any) -> pb.Model:
    return pb.Model(**{name: row[name] for name in pb.Model.DESCRIPTOR.fields_by_name})


def _updated(request: pb.UpdateModelRequest) -> list[str]:
    """The fields to replace. Raises InvalidArgument for one that stays as it was registered."""
    if not request.HasField("update_mask"):
        present = {field.name for field, _ in request.model.ListFields()}
        return [field for field in MUTABLE if field in present]
    violations = [
        Violation(f"update_mask.paths[{index}]", f"must be one of {', '.join(MUTABLE)}, not {path!r}")
        for index, path in enumerate(request.update_mask.paths)
        if path not in MUTABLE
    ]
    if violations:
        raise InvalidArgument(*violations)
    return list(request.update_mask.paths)
