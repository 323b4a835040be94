"""ModelService: the registry of models."""

from __future__ import annotations

from typing import Any, Final

import grpc
from google.protobuf.message import Message

from ai_grpc.errors import AlreadyExists, InvalidArgument, NotFound, Violation
from ai_grpc.records import Records, message_of
from ai_grpc.v1 import errors_pb2
from ai_grpc.v1 import models_pb2 as pb
from ai_grpc.v1.models_pb2_grpc import ModelServiceServicer

MUTABLE: Final = ("description", "configuration", "performance_metrics")

Context = grpc.aio.ServicerContext[Any, Any]


class ModelServicer(ModelServiceServicer):
    """Answers from the records of models."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def RegisterModel(self, request: pb.RegisterModelRequest, context: Context) -> pb.RegisterModelResponse:
        created = await self._records.row("register_model", request)
        differing, *_ = row = await self._records.row("find_registered", request)
        model = message_of(pb.Model, row)
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
        return pb.GetModelResponse(model=await self._model("get_model", request))

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        models, token = await self._records.page(pb.Model, "list_models", request)
        return pb.ListModelsResponse(models=models, next_page_token=token)

    async def UpdateModel(self, request: pb.UpdateModelRequest, context: Context) -> pb.UpdateModelResponse:
        return pb.UpdateModelResponse(
            model=await self._model("update_model", request.model, place="model", paths=_updated(request))
        )

    async def SetModelActive(self, request: pb.SetModelActiveRequest, context: Context) -> pb.SetModelActiveResponse:
        if not request.HasField("active"):
            raise InvalidArgument(Violation("active", "is required"))
        return pb.SetModelActiveResponse(model=await self._model("set_model_active", request))

    async def SetModelAlias(self, request: pb.SetModelAliasRequest, context: Context) -> pb.SetModelAliasResponse:
        await self._records.row("set_model_alias", request)
        return pb.SetModelAliasResponse(model=await self._model("get_model", request))

    async def ResolveModelAlias(
        self, request: pb.ResolveModelAliasRequest, context: Context
    ) -> pb.ResolveModelAliasResponse:
        row = await self._records.row("resolve_model_alias", request)
        if row is None:
            raise NotFound(
                errors_pb2.ERROR_REASON_MODEL_NOT_FOUND,
                f"{request.model_name!r} has no alias {request.alias!r}",
                model_name=request.model_name,
                alias=request.alias,
            )
        return pb.ResolveModelAliasResponse(model=message_of(pb.Model, row))

    async def RemoveModelAlias(
        self, request: pb.RemoveModelAliasRequest, context: Context
    ) -> pb.RemoveModelAliasResponse:
        await self._records.row("remove_model_alias", request)
        return pb.RemoveModelAliasResponse()

    async def _model(self, query: str, request: Message, place: str = "", **given: object) -> pb.Model:
        return await self._records.one(pb.Model, query, request, "model_id", place, **given)


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
