"""SpectrumService: analyses in the frequency domain."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message import Message

from ai_grpc.fields import numbers
from ai_grpc.records import Records
from ai_grpc.v1 import spectra_pb2 as pb
from ai_grpc.v1.spectra_pb2_grpc import SpectrumServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class SpectrumServicer(SpectrumServiceServicer):
    """Answers from the records of spectra."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def RecordSpectrumAnalysis(
        self, request: pb.RecordSpectrumAnalysisRequest, context: Context
    ) -> pb.RecordSpectrumAnalysisResponse:
        given = request.analysis
        duplicate = await self._records.create(
            "record_spectrum_analysis", given, "analysis_id", "analysis", frequency_components=_components(given)
        )
        return pb.RecordSpectrumAnalysisResponse(analysis=await self._analysis(given), duplicate=duplicate)

    async def GetSpectrumAnalysis(
        self, request: pb.GetSpectrumAnalysisRequest, context: Context
    ) -> pb.GetSpectrumAnalysisResponse:
        return pb.GetSpectrumAnalysisResponse(analysis=await self._analysis(request))

    async def ListSpectrumAnalyses(
        self, request: pb.ListSpectrumAnalysesRequest, context: Context
    ) -> pb.ListSpectrumAnalysesResponse:
        analyses, token = await self._records.page(pb.SpectrumAnalysis, "list_spectrum_analyses", request)
        return pb.ListSpectrumAnalysesResponse(analyses=analyses, next_page_token=token)

    async def _analysis(self, request: Message) -> pb.SpectrumAnalysis:
        return await self._records.one(pb.SpectrumAnalysis, "get_spectrum_analysis", request, "analysis_id")


def _components(analysis: pb.SpectrumAnalysis) -> str | None:
    """The components as JSON, each sequence under its name. Raises InvalidArgument."""
    if not analysis.HasField("frequency_components"):
        return None
    components = analysis.frequency_components
    arrays = {
        name: numbers(f"analysis.frequency_components.{name}", getattr(components, name))
        for name in components.DESCRIPTOR.fields_by_name
    }
    return "{" + ", ".join(f'"{name}": {array}' for name, array in arrays.items()) + "}"
