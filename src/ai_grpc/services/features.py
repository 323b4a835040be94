"""FeatureService: vectors of features, as of any time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final, cast

import grpc
from google.protobuf.message import Message

from ai_grpc.batches import Batch
from ai_grpc.errors import InvalidArgument, Violation, draining, miscounted
from ai_grpc.exchange.checks import check_range
from ai_grpc.ingest import ingest
from ai_grpc.pagination import MAX_BYTES
from ai_grpc.records import Records, message_of
from ai_grpc.turns import Turns
from ai_grpc.v1 import features_pb2 as pb
from ai_grpc.v1.features_pb2_grpc import FeatureServiceServicer

MAX_LOOKUPS: Final = 1000
MAX_SYMBOLS: Final = 1000
# Of all features found, as JSON: in a message they take up to four times as much.
MAX_JSON: Final = 1024 * 1024
FIRST_PAGE: Final = 64
MAX_PAGE: Final = 1000

# What a page aims at: little beside what a client receives at most, and enough to be worth a query.
PAGE_BYTES: Final = 512 * 1024
PAGE_SPAN: Final = timedelta(weeks=4)

Context = grpc.aio.ServicerContext[Any, Any]


class FeatureServicer(FeatureServiceServicer):
    """Answers from the records of features; reading a range ends when the server is closing."""

    def __init__(self, records: Records, closing: asyncio.Event) -> None:
        self._records, self._closing = records, closing

    async def PutFeatures(self, request: pb.PutFeaturesRequest, context: Context) -> pb.PutFeaturesResponse:
        rows = await self._records.write("put_features", request.vectors, "vectors")
        return pb.PutFeaturesResponse(stored=rows[0]["stored"])

    async def PutFeatureStream(
        self, request_iterator: AsyncIterator[pb.PutFeatureStreamRequest], context: Context
    ) -> pb.PutFeatureStreamResponse:
        stored: list[int] = []
        prepare = partial(self._records.prepare, "put_features")
        count = await ingest(request_iterator, "vectors", prepare, partial(self._store, stored))
        return pb.PutFeatureStreamResponse(vectors=count, stored=sum(stored))

    async def GetLatestFeatures(
        self, request: pb.GetLatestFeaturesRequest, context: Context
    ) -> pb.GetLatestFeaturesResponse:
        return pb.GetLatestFeaturesResponse(lookups=await self._look_up(request, as_of=None, known_by=None))

    async def GetFeaturesAsOf(self, request: pb.GetFeaturesAsOfRequest, context: Context) -> pb.GetFeaturesAsOfResponse:
        _check_present(request, "as_of")
        return pb.GetFeaturesAsOfResponse(lookups=await self._look_up(request))

    async def ReadFeatures(
        self, request: pb.ReadFeaturesRequest, context: Context
    ) -> AsyncIterator[pb.ReadFeaturesResponse]:
        _check_read(request)
        after: dict[str, Any] = {"after_time": None, "after_symbol": ""}
        limit = FIRST_PAGE
        # A page looks into the partitions of the next few weeks; if there is nothing, into all.
        while rows := (
            await self._records.rows("read_features", request, page_limit=limit, span=PAGE_SPAN, **after)
            or await self._records.rows("read_features", request, page_limit=limit, span=None, **after)
        ):
            vectors = await _fitting(rows)
            response = pb.ReadFeaturesResponse(vectors=vectors)
            yield response
            if self._closing.is_set():
                raise draining()
            after = {"after_time": rows[len(vectors) - 1]["event_time"], "after_symbol": vectors[-1].symbol}
            limit = max(1, min(2 * limit, MAX_PAGE, len(vectors) * PAGE_BYTES // response.ByteSize()))

    async def _store(self, stored: list[int], batch: Batch[pb.FeatureVector]) -> None:
        rows = await self._records.store(batch)
        stored.append(rows[0]["stored"])

    async def _look_up(self, request: Any, **given: Any) -> list[pb.FeatureLookup]:
        _check_lookup(request)
        rows = await self._records.rows("look_up_features", request, max_bytes=MAX_JSON, **given)
        if rows[0]["too_many_bytes"]:
            raise InvalidArgument(Violation("symbols", "must be fewer: their features have more than 1 MiB as JSON"))
        lookups, turns = [], Turns()
        for row in rows:
            lookup = pb.FeatureLookup(status=row["status"], vector=message_of(pb.FeatureVector, row))
            lookups.append(lookup)
            await turns.after(lookup)
        return lookups


async def _fitting(rows: Sequence[Any]) -> list[pb.FeatureVector]:
    """The vectors of the first rows, of as many as a client receives by default in one message, at least one."""
    vectors: list[pb.FeatureVector] = []
    size, turns = 0, Turns()
    for row in rows:
        vector = message_of(pb.FeatureVector, row)
        size += vector.ByteSize()
        if vectors and size > MAX_BYTES:
            break
        vectors.append(vector)
        await turns.after(vector)
    return vectors


def _check_lookup(request: pb.GetLatestFeaturesRequest | pb.GetFeaturesAsOfRequest) -> None:
    """Raises InvalidArgument."""
    violations = [
        Violation(field, "must have at least 1 element")
        for field in ("symbols", "feature_set_names")
        if not getattr(request, field)
    ]
    if len(request.symbols) * len(request.feature_set_names) > MAX_LOOKUPS:
        violations.append(Violation("symbols", f"must have at most {MAX_LOOKUPS} combinations with feature_set_names"))
    if request.max_age.seconds < 0 or request.max_age.nanos < 0:
        violations.append(Violation("max_age", "must not be negative"))
    if violations:
        raise InvalidArgument(*violations)


def _check_read(request: pb.ReadFeaturesRequest) -> None:
    """Raises InvalidArgument."""
    _check_present(request, "start_time", "end_time")
    if not request.feature_set_name:
        raise InvalidArgument(Violation("feature_set_name", "is required"))
    if violations := miscounted("symbols", len(request.symbols), 0, MAX_SYMBOLS):
        raise InvalidArgument(*violations)
    check_range(request)


def _check_present(request: Message, *fields: str) -> None:
    """Raises InvalidArgument for the fields that are unset."""
    if violations := [Violation(field, "is required") for field in fields if not request.HasField(cast(Any, field))]:
        raise InvalidArgument(*violations)
