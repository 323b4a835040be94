"""Whatever was accepted can be read: no stored value breaks a list or a subscription, and none is missing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import grpc
from google.protobuf.descriptor import Descriptor

from tests.faults.database import administrator
from tests.fuzz.surface import Method
from tests.signals import a_signal, an_active_model, details, publish

if TYPE_CHECKING:
    from tests.fuzz.target import Target

SECONDS: Final = 120
PAGE: Final = 1000
# How many of what a list belongs to are asked for theirs.
PARENTS: Final = 50
# The tables whose rows have one id, by its name.
TABLES: Final = """
SELECT attname, conrelid::regclass::text
FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
WHERE contype = 'p' AND cardinality(conkey) = 1 AND connamespace = 'ai_trading'::regnamespace
  AND NOT (SELECT relispartition FROM pg_class WHERE oid = conrelid)
"""
EVENTS: Final = "SELECT (SELECT count(*) FROM ai_trading.signal_log) + (SELECT count(*) FROM ai_trading.event_log)"


async def unreadable(target: Target) -> list[str]:
    """What cannot be read back, or no longer be written, once everything was sent."""
    channel = target.channels[0]
    try:
        async with asyncio.timeout(SECONDS), administrator(target.dsn) as admin:
            await publish(channel, a_signal(await an_active_model(channel)))
            tables = dict(await admin.fetch(TABLES))
            lists = [method for method in target.methods if _is_list(method)]
            faults = [await _list_fault(channel, method, admin, tables) for method in lists]
            stored = await admin.fetchval(EVENTS)
            read = sum([await _events(channel, method) for method in target.methods if _is_subscription(method)])
    except (grpc.aio.AioRpcError, TimeoutError) as error:
        return [f"after all that, a proper client fails: {error!r}"]
    faults += [] if read == stored else [f"{stored} events are stored and {read} read"]
    return [fault for fault in faults if fault]


async def _list_fault(channel: Any, method: Method, admin: asyncpg.Connection, tables: dict[str, str]) -> str:
    """Reads a whole list, and compares its length with that of its table; or, if it belongs to something, the lists of
    some of that, for which no more is known than that they can be read."""
    try:
        read = await _listed(channel, method)
    except grpc.aio.AioRpcError as error:
        required = details(error).fields
        if len(required) != 1 or required[0] not in tables:
            raise
        parents = f"SELECT {required[0]}::text FROM {tables[required[0]]} LIMIT {PARENTS}"
        for (parent,) in await admin.fetch(parents):
            await _listed(channel, method, **{required[0]: parent})
        return ""
    table = tables.get(_item(method).fields[0].name)
    stored = await admin.fetchval(f"SELECT count(*) FROM {table}") if table else read
    return "" if read == stored else f"{table} has {stored} rows and {method.path} {read}"


async def _listed(channel: Any, method: Method, **fields: str) -> int:
    """How many there are on all pages."""
    request: Any = method.request(page_size=PAGE, **fields)
    call = channel.unary_unary(method.path, method.request.SerializeToString, method.response.FromString)
    descriptor: Any = method.response.DESCRIPTOR
    count = 0
    while True:
        page = await call(request)
        count += len(getattr(page, descriptor.fields[0].name))
        if not page.next_page_token:
            return count
        request.page_token = page.next_page_token


async def _events(channel: Any, method: Method) -> int:
    """How many events a subscriber gets from the very first one on."""
    request: Any = method.request()
    request.earliest.SetInParent()
    call = channel.unary_stream(method.path, method.request.SerializeToString, method.response.FromString)(request)
    count = 0
    try:
        async for message in call:
            count += len(message.batch.events)
            if message.HasField("caught_up"):
                break
    finally:
        call.cancel()
    return count


def _is_list(method: Method) -> bool:
    return method.is_ours and "next_page_token" in method.response.DESCRIPTOR.fields_by_name


def _is_subscription(method: Method) -> bool:
    return method.is_ours and method.server_streaming and "earliest" in method.request.DESCRIPTOR.fields_by_name


def _item(method: Method) -> Descriptor:
    descriptor: Any = method.response.DESCRIPTOR
    item = descriptor.fields[0].message_type
    assert isinstance(item, Descriptor)
    return item
