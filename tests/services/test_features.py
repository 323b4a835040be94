"""Features, as a pipeline writes them, and as models read them."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ai_grpc.v1 import features_pb2 as pb
from ai_grpc.v1.features_pb2_grpc import FeatureServiceStub
from tests.signals import a_struct, a_struct_of, an_exchange, details, execute, refusal

# The example of the specification.
INDICATORS: Final[dict[str, Any]] = {
    "sma_20": 150.25,
    "rsi_14": 65.8,
    "bollinger_upper": 155.0,
    "bollinger_lower": 145.0,
    "volume_ratio": 1.25,
}
SET: Final = "technical_indicators"
NOON: Final = 1_700_000_000
PRESENT, NOT_FOUND, OUTSIDE = (
    pb.FeatureLookup.STATUS_PRESENT,
    pb.FeatureLookup.STATUS_NOT_FOUND,
    pb.FeatureLookup.STATUS_OUTSIDE_MAX_AGE,
)

# Each example runs a server: looking for the smallest one that fails would take minutes.
BOUNDED: Final = settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def at(seconds: float) -> Timestamp:
    """So many seconds after noon."""
    time = Timestamp()
    time.FromMicroseconds(round((NOON + seconds) * 1e6))
    return time


def a_vector(seconds: float = 0, **changes: Any) -> pb.FeatureVector:
    """A vector that can be put, but for the changes; None leaves a field unset."""
    fields = {"symbol": "AAPL", "feature_set_name": SET, "event_time": at(seconds), "features": a_struct(**INDICATORS)}
    return pb.FeatureVector(**{**fields, **changes})


def of(number: float) -> Any:
    """Features that can be told apart."""
    return a_struct(value=number)


async def put(channel: grpc.aio.Channel, *vectors: pb.FeatureVector) -> int:
    """Puts the vectors in one request, and says how many were stored."""
    return (await FeatureServiceStub(channel).PutFeatures(pb.PutFeaturesRequest(vectors=vectors), timeout=10)).stored


async def put_stream(
    channel: grpc.aio.Channel, requests: Iterable[Sequence[pb.FeatureVector]]
) -> pb.PutFeatureStreamResponse:
    """Puts the vectors in one stream."""
    stream = (pb.PutFeatureStreamRequest(vectors=vectors) for vectors in requests)
    return await FeatureServiceStub(channel).PutFeatureStream(stream, timeout=20)


async def as_of(channel: grpc.aio.Channel, seconds: float, **changes: Any) -> list[pb.FeatureLookup]:
    """What there is at a time."""
    fields = {"symbols": ["AAPL"], "feature_set_names": [SET], "as_of": at(seconds)}
    response = await FeatureServiceStub(channel).GetFeaturesAsOf(pb.GetFeaturesAsOfRequest(**{**fields, **changes}))
    return list(response.lookups)


async def latest(channel: grpc.aio.Channel, **changes: Any) -> list[pb.FeatureLookup]:
    """What there is by now."""
    fields = {"symbols": ["AAPL"], "feature_set_names": [SET]}
    response = await FeatureServiceStub(channel).GetLatestFeatures(pb.GetLatestFeaturesRequest(**{**fields, **changes}))
    return list(response.lookups)


async def read(channel: grpc.aio.Channel, **changes: Any) -> list[list[pb.FeatureVector]]:
    """The messages of a range read."""
    fields = {"feature_set_name": SET, "start_time": at(-1e6), "end_time": at(1e6)}
    responses = FeatureServiceStub(channel).ReadFeatures(pb.ReadFeaturesRequest(**{**fields, **changes}), timeout=20)
    return [list(response.vectors) async for response in responses]


async def test_the_example_of_the_specification_goes_in_and_comes_out_unchanged(database: str) -> None:
    async with an_exchange(database) as channel:
        vector = a_vector(0.123456, raw_data_hash="0f" * 32, extraction_method="talib")
        assert await put(channel, vector) == 1
        (found,) = await latest(channel)
        assert found.status == PRESENT
        assert found.vector.HasField("create_time")
        found.vector.ClearField("create_time")
        assert found.vector == vector
        assert MessageToDict(found.vector.features) == INDICATORS
    rows = await execute(
        database,
        "SELECT feature_id, symbol, timestamp, feature_set_name, features, raw_data_hash,"
        " extraction_method, created_at FROM ai_trading.feature_data",
    )
    assert len(rows) == 1


async def test_the_hash_is_that_of_the_features_unless_there_is_one(database: str) -> None:
    async with an_exchange(database) as channel:
        await put(channel, a_vector(), a_vector(1, raw_data_hash="a1" * 32))
        (message,) = await read(channel)
    (row, _) = await execute(database, "SELECT features::text FROM feature_data ORDER BY timestamp")
    assert [vector.raw_data_hash for vector in message] == [hashlib.sha256(row[0].encode()).hexdigest(), "a1" * 32]


async def test_the_last_put_for_a_time_counts_and_the_same_again_changes_nothing(database: str) -> None:
    async with an_exchange(database) as channel:
        assert await put(channel, a_vector(features=of(1))) == 1
        first = (await latest(channel))[0].vector
        assert await put(channel, a_vector(features=of(1))) == 0
        assert (await latest(channel))[0].vector == first
        assert await put(channel, a_vector(features=of(2)), a_vector(features=of(3)), a_vector(1, symbol="B")) == 2
        second = (await latest(channel))[0].vector
        assert second.features == of(3)
        assert second.create_time.ToNanoseconds() > first.create_time.ToNanoseconds()
        assert second.raw_data_hash != first.raw_data_hash


async def test_any_difference_is_stored(database: str, subtests: pytest.Subtests) -> None:
    given: dict[str, Any] = {"features": of(1), "raw_data_hash": "0f" * 32, "extraction_method": "talib"}
    changes: dict[str, Any] = {"features": of(2), "raw_data_hash": "a1" * 32, "extraction_method": "pandas"}
    async with an_exchange(database) as channel:
        for field, value in changes.items():
            with subtests.test(field):
                changed = {**given, field: value}
                await put(channel, a_vector(**given))
                assert [await put(channel, a_vector(**changed)) for _ in range(2)] == [1, 0]
                (found,) = await latest(channel)
                assert {name: getattr(found.vector, name) for name in changed} == changed


async def test_a_stream_stores_what_it_brings_and_may_be_repeated(database: str) -> None:
    async with an_exchange(database) as channel:
        requests = [[a_vector(n, symbol=s, features=of(n)) for s in "ABC"] for n in range(50)]
        assert await put_stream(channel, requests) == pb.PutFeatureStreamResponse(vectors=150, stored=150)
        assert await put_stream(channel, requests) == pb.PutFeatureStreamResponse(vectors=150, stored=0)
        assert await put_stream(channel, []) == pb.PutFeatureStreamResponse()
    assert (await execute(database, "SELECT count(*) FROM feature_data"))[0][0] == 150


async def test_writers_of_the_same_vectors_in_opposite_orders_wait_for_each_other(database: str) -> None:
    async with an_exchange(database) as channel:

        async def writer(number: int) -> None:
            for round in range(10):
                vectors = [a_vector(n, features=of(100 * number + round)) for n in range(200)]
                await put(channel, *(vectors if number % 2 else reversed(vectors)))

        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(writer(number))


async def test_lookups_come_in_the_order_of_the_request(database: str) -> None:
    async with an_exchange(database) as channel:
        await put(channel, a_vector(0, symbol="B"), a_vector(0, symbol="A", feature_set_name="x"))
        found = await latest(channel, symbols=["B", "A", "B"], feature_set_names=["x", SET])
        assert [(each.vector.symbol, each.vector.feature_set_name, each.status) for each in found] == [
            *(("B", "x", NOT_FOUND), ("B", SET, PRESENT), ("A", "x", PRESENT), ("A", SET, NOT_FOUND)),
            *(("B", "x", NOT_FOUND), ("B", SET, PRESENT)),
        ]
        assert not found[0].vector.HasField("event_time")


async def test_features_as_of_a_time_are_the_latest_that_are_not_later(database: str) -> None:
    async with an_exchange(database) as channel:
        # The times lie in many partitions, or in the default one.
        times = [week * 604_800.0 for week in range(-3, 4)]
        await put(channel, *(a_vector(time, features=of(time)) for time in times))
        for time in times:
            for later in (0, 1):
                (found,) = await as_of(channel, time + later)
                assert (found.vector.event_time, found.vector.features) == (at(time), of(time))
        (found,) = await as_of(channel, times[0] - 1e-6)
        assert found.status == NOT_FOUND


@pytest.mark.parametrize(
    ("age", "max_age", "status"),
    [(0, 0, PRESENT), (60, 60, PRESENT), (60.000001, 60, OUTSIDE), (1e9, None, PRESENT), (60, 1e11, PRESENT)],
)
async def test_features_that_are_too_old_are_left_out_and_said_to_be(
    database: str, age: float, max_age: float | None, status: pb.FeatureLookup.Status.ValueType
) -> None:
    async with an_exchange(database) as channel:
        await put(channel, a_vector(features=of(1)))
        bound = None if max_age is None else Duration(seconds=int(max_age))
        (found,) = await as_of(channel, age, max_age=bound)
        assert (found.status, found.vector.event_time) == (status, at(0))
        assert found.vector.HasField("features") == (status == PRESENT)
        assert (found.vector.raw_data_hash != "") == (status == PRESENT)


async def test_the_latest_features_are_too_old_when_they_are_by_now(database: str) -> None:
    async with an_exchange(database) as channel:
        now = Timestamp()
        now.GetCurrentTime()
        await put(channel, a_vector(symbol="OLD"), a_vector(symbol="NEW", event_time=now))
        found = await latest(channel, symbols=["OLD", "NEW"], max_age=Duration(seconds=60))
        assert [each.status for each in found] == [OUTSIDE, PRESENT]


async def test_what_was_known_at_a_time_can_be_asked_again(database: str) -> None:
    async with an_exchange(database) as channel:
        await put(channel, a_vector(0, features=of(1)))
        known_by = (await latest(channel))[0].vector.create_time
        await put(channel, a_vector(1, features=of(2)))
        assert (await as_of(channel, 5))[0].vector.features == of(2)
        assert (await as_of(channel, 5, known_by=known_by))[0].vector.features == of(1)
        assert [[vector.features for vector in message] for message in await read(channel, known_by=known_by)] == [
            [of(1)]
        ]
        await put(channel, a_vector(0, features=of(3)))
        assert (await as_of(channel, 5, known_by=known_by))[0].status == NOT_FOUND


async def test_a_range_is_read_whole_in_order_and_in_bounded_messages(database: str) -> None:
    async with an_exchange(database) as channel:
        symbols = ["A", "B", "a", "é"]
        vectors = [a_vector(n // 3, symbol=s, features=of(n)) for n in range(1500) for s in symbols[: 1 + n % 4]]
        await put_stream(channel, (vectors[n : n + 700] for n in range(0, len(vectors), 700)))
        expected = sorted({(v.event_time.seconds, v.symbol.encode()) for v in vectors})
        messages = await read(channel)
        assert [(v.event_time.seconds, v.symbol.encode()) for message in messages for v in message] == expected
        assert max(map(len, messages)) <= 1000
        some = await read(channel, symbols=["B", "é"], start_time=at(100), end_time=at(200))
        assert [(v.event_time.seconds, v.symbol) for message in some for v in message] == [
            (seconds, symbol.decode())
            for seconds, symbol in expected
            if symbol.decode() in ("B", "é") and NOON + 100 <= seconds < NOON + 200
        ]
        for symbol in symbols:
            one = await read(channel, symbols=[symbol], end_time=at(100))
            assert {v.symbol for message in one for v in message} == {symbol}
        assert await read(channel, feature_set_name="other") == []


async def test_a_range_is_read_whole_though_nothing_was_put_for_months(database: str) -> None:
    times = [month * 2_592_000.0 for month in (-7, -7, -3, 0, 4)]
    async with an_exchange(database) as channel:
        await put(channel, *(a_vector(time, symbol=str(n)) for n, time in enumerate(times)))
        messages = await read(channel, start_time=at(-1e8), end_time=at(1e8))
        assert [(v.symbol, v.event_time) for message in messages for v in message] == [
            (str(n), at(time)) for n, time in enumerate(times)
        ]


async def test_large_vectors_are_read_in_messages_that_a_client_receives(database: str) -> None:
    async with an_exchange(database) as channel:
        large = a_struct_of(65_536)
        await put_stream(channel, ([a_vector(n, features=large)] for n in range(100)))
        messages = await read(channel)
        assert [v.event_time.seconds - NOON for message in messages for v in message] == list(range(100))


def good() -> st.SearchStrategy[dict[str, Any]]:
    """What a vector may say."""
    text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=10)
    name = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=32)
    # PostgreSQL knows no negative zero.
    numbers = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
    values = st.recursive(
        st.none() | st.booleans() | numbers | text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=8,
    )
    micros = st.integers(-62_135_596_800_000_000 + 1, 253_402_300_799_999_999 - 1)
    times = micros.map(lambda micro: Timestamp(seconds=micro // 10**6, nanos=micro % 10**6 * 1000))
    return st.fixed_dictionaries(
        {
            "symbol": name,
            "feature_set_name": name,
            "event_time": times,
            "features": st.dictionaries(text, values, max_size=3).map(lambda members: a_struct(**members)),
        },
        optional={
            "raw_data_hash": st.text("0123456789abcdef", min_size=64, max_size=64),
            "extraction_method": text,
        },
    )


@BOUNDED
@given(contents=st.lists(good(), min_size=1, max_size=20))
async def test_what_is_put_is_read_back_equal(database: str, contents: list[dict[str, Any]]) -> None:
    vectors = [a_vector(**content) for content in contents]
    async with an_exchange(database) as channel:
        await execute(database, "TRUNCATE ai_trading.feature_data")
        await put(channel, *vectors)
        last = {(v.symbol, v.feature_set_name, v.event_time.ToNanoseconds()): v for v in vectors}
        for vector in last.values():
            (found,) = await as_of(
                channel,
                0,
                symbols=[vector.symbol],
                feature_set_names=[vector.feature_set_name],
                as_of=vector.event_time,
                max_age=Duration(),
            )
            assert found.status == PRESENT
            if not vector.raw_data_hash:
                found.vector.ClearField("raw_data_hash")
            found.vector.ClearField("create_time")
            assert found.vector == vector


async def test_the_future_is_not_the_latest(database: str) -> None:
    async with an_exchange(database) as channel:
        now, far = Timestamp(), Timestamp(seconds=17_958_920_021)
        now.GetCurrentTime()
        now.seconds -= 10
        await put(channel, a_vector(event_time=now, features=a_struct(rsi=51)), a_vector(event_time=far))
        [found] = await latest(channel, max_age=Duration(seconds=60))
        assert (found.status, dict(found.vector.features)) == (pb.FeatureLookup.STATUS_PRESENT, {"rsi": 51})
        [found] = await as_of(channel, 0, as_of=far)
        assert found.vector.event_time == far


async def test_more_features_than_a_message_holds_are_refused_before_they_are_sent(database: str) -> None:
    async with an_exchange(database) as channel:
        await put(channel, a_vector(features=a_struct(values=[1] * 21_000)))
        for count, ok in ((16, True), (17, False)):
            call = latest(channel, symbols=["AAPL"] * count)
            if ok:
                assert {found.status for found in await call} == {pb.FeatureLookup.STATUS_PRESENT}
            else:
                error = await refusal(call)
                assert details(error)[:3] == ("INVALID_FIELD", {}, ["symbols"])


FAULTS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"symbol": ""}, "symbol"),
    ({"symbol": "x" * 33}, "symbol"),
    ({"symbol": "a\0b"}, "symbol"),
    ({"event_time": None}, "event_time"),
    ({"event_time": Timestamp(seconds=2**60)}, "event_time"),
    ({"event_time": Timestamp(seconds=-62_135_596_800)}, "event_time"),
    ({"event_time": Timestamp(seconds=253_402_300_799, nanos=999_999_999)}, "event_time"),
    ({"feature_set_name": ""}, "feature_set_name"),
    ({"feature_set_name": "x" * 51}, "feature_set_name"),
    ({"features": None}, "features"),
    ({"features": a_struct(value=math.nan)}, "features"),
    ({"features": a_struct(value="\0")}, "features"),
    ({"features": a_struct(value="x" * 65_536)}, "features"),
    ({"raw_data_hash": "a1"}, "raw_data_hash"),
    ({"create_time": Timestamp(seconds=1)}, "create_time"),
    ({"raw_data_hash": "A1" * 32}, "raw_data_hash"),
    ({"raw_data_hash": "a1" * 33}, "raw_data_hash"),
    ({"extraction_method": "x" * 51}, "extraction_method"),
]


async def test_the_field_at_fault_is_named_and_nothing_is_written(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        for changes, field in FAULTS:
            with subtests.test(field, **{field: str(changes)[:20]}):
                error = await refusal(put(channel, a_vector(), a_vector(1, **changes), a_vector(2)))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, [f"vectors[1].{field}"])
                error = await refusal(put_stream(channel, [[a_vector(1, **changes)]]))
                assert details(error).fields == [f"requests[0].vectors[0].{field}"]
        for vectors in ([], [a_vector(n) for n in range(1001)]):
            assert details(await refusal(put(channel, *vectors))).fields == ["vectors"]
            assert details(await refusal(put_stream(channel, [vectors]))).fields == ["requests[0].vectors"]
    assert (await execute(database, "SELECT count(*) FROM feature_data"))[0][0] == 0


async def test_what_is_as_large_as_it_may_be_is_taken(database: str) -> None:
    large: dict[str, Any] = {
        "symbol": "€" * 32,
        "feature_set_name": "€" * 50,
        "extraction_method": "€" * 50,
        "features": a_struct_of(65_536),
    }
    async with an_exchange(database) as channel:
        assert await put(channel, a_vector(**large)) == 1
        many = await latest(channel, symbols=["A"] * 500, feature_set_names=["x", "y"])
        assert [each.status for each in many] == [NOT_FOUND] * 1000
        ((read_back,),) = await read(channel, symbols=["€" * 32] * 1000, feature_set_name="€" * 50)
        assert {name: getattr(read_back, name) for name in large} == large


FAR: Final = Timestamp(seconds=2**60)
QUESTIONS: Final[list[tuple[Any, dict[str, Any], str]]] = [
    (latest, {"symbols": []}, "symbols"),
    (latest, {"feature_set_names": []}, "feature_set_names"),
    (latest, {"symbols": ["A"] * 501, "feature_set_names": ["x", "y"]}, "symbols"),
    (latest, {"symbols": ["A", "\0"]}, "symbols[1]"),
    (latest, {"max_age": Duration(seconds=-1)}, "max_age"),
    (latest, {"max_age": Duration(nanos=-1)}, "max_age"),
    (latest, {"max_age": Duration(seconds=2**62)}, "max_age"),
    (read, {"feature_set_name": ""}, "feature_set_name"),
    (read, {"feature_set_name": "\0"}, "feature_set_name"),
    (read, {"start_time": None}, "start_time"),
    (read, {"end_time": None}, "end_time"),
    (read, {"start_time": FAR}, "start_time"),
    (read, {"start_time": at(5), "end_time": at(5)}, "end_time"),
    (latest, {"max_age": Duration(seconds=1, nanos=-1)}, "max_age"),
    (latest, {"max_age": Duration(seconds=1, nanos=10**9)}, "max_age"),
    (read, {"end_time": FAR}, "end_time"),
    (read, {"known_by": FAR}, "known_by"),
    (read, {"symbols": ["A"] * 1001}, "symbols"),
]


async def test_the_field_of_a_question_at_fault_is_named(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        for ask, changes, field in QUESTIONS:
            with subtests.test(field, ask=ask.__name__):
                error = await refusal(ask(channel, **changes))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, [field])
        for changes, field in (({"as_of": None}, "as_of"), ({"as_of": FAR}, "as_of"), ({"known_by": FAR}, "known_by")):
            assert details(await refusal(as_of(channel, 0, **changes))).fields == [field]
