"""What may be published, and how everything else is refused: the field is named, and nothing is written."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ai_grpc.v1 import errors_pb2
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.signals import (
    SIGNAL_TIME,
    a_signal,
    a_struct,
    an_active_model,
    an_exchange,
    details,
    publish,
    refusal,
    written,
)

NO_MODEL: Final = str(uuid.uuid4())

# Each example runs a server: looking for the smallest one that fails would take minutes.
BOUNDED: Final = settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

DEEP: Final = a_struct()
for _ in range(16):
    DEEP.update({"level": a_struct(**DEEP)})

FAULTS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "no id": ({"signal_id": ""}, "signal_id"),
    "an id that is no UUID": ({"signal_id": "1"}, "signal_id"),
    "no model": ({"model_id": ""}, "model_id"),
    "a model that is no UUID": ({"model_id": "trend"}, "model_id"),
    "no symbol": ({"symbol": ""}, "symbol"),
    "a symbol of 33 characters": ({"symbol": "x" * 33}, "symbol"),
    "a symbol with spaces around it": ({"symbol": " AAPL"}, "symbol"),
    "a symbol that does not print": ({"symbol": "A\0B"}, "symbol"),
    "no type": ({"signal_type": None}, "signal_type"),
    "an unknown type": ({"signal_type": 9}, "signal_type"),
    "no confidence": ({"confidence": None}, "confidence"),
    "too much confidence": ({"confidence": 1.5}, "confidence"),
    "less than no confidence": ({"confidence": -0.1}, "confidence"),
    "a confidence that is no number": ({"confidence": math.nan}, "confidence"),
    "a price with 7 decimals": ({"price_target": "1.2345678"}, "price_target"),
    "a price with 10 digits": ({"stop_loss": "1234567890"}, "stop_loss"),
    "a price that is no number": ({"take_profit": "NaN"}, "take_profit"),
    "an infinite price": ({"reference_price": "Infinity"}, "reference_price"),
    "a price with an exponent": ({"reference_price": "1e3"}, "reference_price"),
    "a price in other digits": ({"reference_price": "\N{ARABIC-INDIC DIGIT ONE}"}, "reference_price"),
    "no time": ({"signal_time": None}, "signal_time"),
    "a time that no calendar has": ({"signal_time": Timestamp(seconds=10**12)}, "signal_time"),
    "a market time of negative nanoseconds": ({"market_data_time": Timestamp(nanos=-1)}, "market_data_time"),
    "an end before its beginning": ({"expire_time": Timestamp(seconds=SIGNAL_TIME.seconds)}, "expire_time"),
    "an end at its beginning": ({"expire_time": SIGNAL_TIME}, "expire_time"),
    "metadata over 16 KiB": ({"metadata": {"text": "x" * 16_384}}, "metadata"),
    "metadata of 17 levels": ({"metadata": DEEP}, "metadata"),
    "metadata that is no number": ({"metadata": {"loss": math.nan}}, "metadata"),
    "metadata with a NUL": ({"metadata": {"a\0b": 1}}, "metadata"),
    "a state": ({"state": pb.SIGNAL_STATE_ACTIVE}, "state"),
    "a time of creation": ({"create_time": SIGNAL_TIME}, "create_time"),
}


async def test_one_bad_signal_of_many_is_named_and_none_is_written(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        for fault, (changes, field) in FAULTS.items():
            with subtests.test(fault):
                bad = a_signal(**{"model_id": model, **changes})
                error = await refusal(publish(channel, a_signal(model), bad, a_signal(model)))
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert details(error)[:3] == ("INVALID_FIELD", {}, [f"signals[1].{field}"])
                assert await written(database) == (0, 0)


REQUESTS: Final[dict[str, tuple[Callable[[str], Iterable[pb.Signal]], str, str, list[str]]]] = {
    "nothing": (lambda model: [], "INVALID_ARGUMENT", "INVALID_FIELD", ["signals"]),
    "too much": (lambda model: [a_signal(model)] * 1001, "INVALID_ARGUMENT", "INVALID_FIELD", ["signals"]),
    "an id twice": (
        lambda model: [a_signal(model, signal_id=signal_id) for signal_id in (NO_MODEL, NO_MODEL.upper())],
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        ["signals[1].signal_id"],
    ),
    "all faults at once": (
        lambda model: [a_signal(model, symbol="", confidence=2.0), a_signal("trend", stop_loss="NaN")],
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        ["signals[0].symbol", "signals[0].confidence", "signals[1].model_id", "signals[1].stop_loss"],
    ),
    "an unknown model": (lambda model: [a_signal(model), a_signal(NO_MODEL)], "NOT_FOUND", "MODEL_NOT_FOUND", []),
}


async def test_a_request_is_refused_whole(database: str, subtests: pytest.Subtests) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        for request, (signals, code, reason, fields) in REQUESTS.items():
            with subtests.test(request):
                error = await refusal(publish(channel, *signals(model)))
                assert (error.code().name, details(error).reason, details(error).fields) == (code, reason, fields)
                assert await written(database) == (0, 0)


async def test_of_many_faults_the_answer_holds_the_first(database: str) -> None:
    async with an_exchange(database) as channel:
        signals = [a_signal("trend", symbol="") for _ in range(1000)]
        fields = details(await refusal(publish(channel, *signals))).fields
        assert 20 < len(fields) < 100
        assert fields == [f"signals[{n // 2}].{('model_id', 'symbol')[n % 2]}" for n in range(len(fields))]


async def test_a_message_over_4_mib_is_refused_by_grpc(database: str) -> None:
    async with an_exchange(database) as channel:
        signal = a_signal(await an_active_model(channel), metadata={"text": "x" * 5 * 1024 * 1024})
        error = await refusal(publish(channel, signal))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await written(database) == (0, 0)


async def test_a_signal_is_read_in_its_canonical_form(database: str) -> None:
    async with an_exchange(database) as channel:
        signal = a_signal(
            (await an_active_model(channel)).upper(),
            signal_id=str(uuid.uuid4()).upper(),
            confidence=0.123449,
            price_target="1.500000",
            stop_loss="-0.0",
            take_profit="999999999.999999",
            signal_time=Timestamp(seconds=1, nanos=123_456_789),
            metadata={"note": "10 €", "weights": [0.5, 3, None, {"deep": True}]},
            pattern_id=0,
        )
        await publish(channel, signal)
        read = await SignalServiceStub(channel).GetSignal(pb.GetSignalRequest(signal_id=signal.signal_id))
        assert read.signal.create_time.seconds > 0
        signal.MergeFrom(
            pb.Signal(
                signal_id=signal.signal_id.lower(),
                model_id=signal.model_id.lower(),
                confidence=0.1234,
                price_target="1.5",
                stop_loss="0",
                signal_time=Timestamp(nanos=123_456_000),
                state=pb.SIGNAL_STATE_ACTIVE,
                create_time=read.signal.create_time,
            )
        )
        assert read.signal == signal


async def test_the_bounds_themselves_are_accepted(database: str) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        least = a_signal(model, symbol="x", confidence=0, price_target="-999999999.999999", metadata={})
        least.signal_time.FromJsonString("0001-01-01T00:00:00.000001Z")
        most = a_signal(model, symbol="€" * 32, confidence=1, pattern_id=2**63 - 1, trade_plan_id=-(2**63))
        most.signal_time.FromJsonString("9999-12-31T23:59:59.999997Z")
        most.expire_time.FromJsonString("9999-12-31T23:59:59.999998Z")
        most.metadata.update({"text": "x" * (16_384 - len('{"text": ""}'))})
        deep = a_signal(model, metadata=DEEP["level"])
        signals = [least, most, deep, *(a_signal(model) for _ in range(997))]
        await publish(channel, *signals)
        listed = await SignalServiceStub(channel).ListSignals(pb.ListSignalsRequest(page_size=1000))
        for signal in signals:
            signal.state = pb.SIGNAL_STATE_ACTIVE
            signal.create_time.CopyFrom(listed.signals[0].create_time)
        assert {signal.signal_id: signal for signal in listed.signals} == {
            signal.signal_id: signal for signal in signals
        }


def int64() -> st.SearchStrategy[int]:
    return st.integers(-(2**63), 2**63 - 1)


def anything() -> st.SearchStrategy[dict[str, Any]]:
    """Changes that may make a signal good or bad."""
    text = st.text(max_size=40)
    number = st.from_regex(r"-?[0-9]{1,10}(\.[0-9]{1,7})?")
    price = st.decimals(allow_nan=True, allow_infinity=True).map(str) | number | text
    seconds = st.sampled_from([-62_135_596_801, -62_135_596_800, 253_402_300_799, 253_402_300_800]) | int64()
    times = st.builds(Timestamp, seconds=seconds, nanos=st.integers(-(2**31), 2**31 - 1) | st.integers(0, 10**9))
    values = st.recursive(
        st.none() | st.booleans() | st.floats() | text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=8,
    )
    metadata = st.dictionaries(text, values, max_size=3) | st.just(Struct(fields={"kind": Value()}))
    changes: dict[str, st.SearchStrategy[Any]] = {
        "model_id": text,
        "symbol": text,
        "signal_type": st.integers(-1, 5),
        "confidence": st.none() | st.floats(),
        "price_target": price,
        "reference_price": price,
        "signal_time": st.none() | times,
        "market_data_time": times,
        "expire_time": times,
        "metadata": metadata,
        "state": st.integers(0, 1),
        "pattern_id": int64(),
        "trade_plan_id": int64(),
    }
    one = st.sampled_from(sorted(changes)).flatmap(lambda field: st.fixed_dictionaries({field: changes[field]}))
    return one | st.fixed_dictionaries({}, optional=changes)


@BOUNDED
@given(changes=st.lists(anything(), min_size=5, max_size=30))
async def test_whatever_is_sent_is_written_or_its_field_is_named(database: str, changes: list[dict[str, Any]]) -> None:
    async with an_exchange(database) as channel:
        model = await an_active_model(channel)
        before, _ = await written(database)
        signals = [a_signal(**{"model_id": model, **change}) for change in changes]
        messages = (pb.PublishSignalStreamRequest(signals=[a_signal(model), signal]) for signal in signals)
        answers = [answer async for answer in SignalServiceStub(channel).PublishSignalStream(messages)]
        assert len(answers) == len(changes)
        for answer in answers:
            assert bool(answer.results) != answer.HasField("error")
            if answer.HasField("error"):
                assert answer.error.reason == errors_pb2.ERROR_REASON_INVALID_FIELD
                assert all(violation.field.startswith("signals[1].") for violation in answer.error.field_violations)
        assert (await written(database))[0] == before + sum(len(answer.results) for answer in answers)
