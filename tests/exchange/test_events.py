"""Events: one content, whether live, replayed, or read as a signal; and what a filter lets by."""

from __future__ import annotations

import uuid
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ai_grpc.exchange.events import Event, EventFilter, length_delimited, varint
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2
from ai_grpc.v1.signals_pb2_grpc import SignalServiceStub
from tests.signals import a_signal, an_active_model, an_exchange, execute, publish
from tests.streams import events, started, subscribe

MODELS: Final = [str(uuid.uuid4()) for _ in range(3)]
SYMBOLS: Final = ["AAPL", "MSFT", "€"]

# Each example runs a server: looking for the smallest one that fails would take minutes.
BOUNDED: Final = settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def good() -> st.SearchStrategy[dict[str, Any]]:
    """What a signal may say."""
    text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=10)
    symbol = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=32)
    price = st.just("") | st.from_regex(r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?", fullmatch=True)
    times = st.builds(Timestamp, seconds=st.integers(-62_135_596_799, 253_402_300_798), nanos=st.integers(0, 10**9 - 1))
    # PostgreSQL knows no negative zero.
    numbers = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
    values = st.recursive(
        st.none() | st.booleans() | numbers | text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=8,
    )
    fields: dict[str, st.SearchStrategy[Any]] = {
        "symbol": symbol,
        "signal_type": st.sampled_from([pb.SIGNAL_TYPE_BUY, pb.SIGNAL_TYPE_SELL, pb.SIGNAL_TYPE_HOLD]),
        "confidence": st.floats(0, 1),
        "signal_time": times,
    }
    optional = {
        **{name: price for name in ("price_target", "stop_loss", "take_profit", "reference_price")},
        "market_data_time": times,
        "metadata": st.dictionaries(text, values, max_size=3),
        "pattern_id": st.integers(-(2**63), 2**63 - 1),
        "trade_plan_id": st.integers(-(2**63), 2**63 - 1),
    }
    return st.fixed_dictionaries(fields, optional=optional)


@BOUNDED
@given(contents=st.lists(good(), min_size=1, max_size=20))
async def test_a_live_event_equals_the_replayed_one_and_the_signal(
    database: str, contents: list[dict[str, Any]]
) -> None:
    async with an_exchange(database) as channel:
        live = subscribe(channel)
        position = (await started(live)).position
        model = await an_active_model(channel)
        await publish(channel, *(a_signal(model, **content) for content in contents))
        received = await events(live, len(contents))
        listed = await SignalServiceStub(channel).ListSignals(pb.ListSignalsRequest(model_ids=[model]))
        # A server that has just begun remembers nothing.
        async with an_exchange(database) as fresh:
            replayed = await events(subscribe(fresh, after=position), len(contents))
            await execute(database, "UPDATE ai_trading.ai_signals SET message = NULL")
            rebuilt = await events(subscribe(fresh, after=position), len(contents))
    assert rebuilt == replayed
    assert [event.SerializeToString(deterministic=True) for event in replayed] == [
        event.SerializeToString(deterministic=True) for event in received
    ]
    assert {signal.signal_id: signal for signal in listed.signals} == {
        event.signal.signal_id: event.signal for event in received
    }


async def test_a_replayed_event_has_the_state_and_the_plan_that_the_signal_has_now(database: str) -> None:
    async with an_exchange(database) as channel:
        signal = a_signal(await an_active_model(channel))
        await publish(channel, signal)
        await execute(database, "UPDATE ai_trading.ai_signals SET trade_plan_id = -7")
        ended = await SignalServiceStub(channel).UpdateSignalState(
            pb.UpdateSignalStateRequest(signal_id=signal.signal_id, state=pb.SIGNAL_STATE_EXECUTED)
        )
        async with an_exchange(database) as fresh:
            published, executed = await events(subscribe(fresh, earliest=streams_pb2.Earliest()), 2)
    assert published.signal == executed.signal == ended.signal
    assert (ended.signal.state, ended.signal.trade_plan_id) == (pb.SIGNAL_STATE_EXECUTED, -7)
    assert (published.kind, executed.kind) == (pb.SignalEvent.KIND_PUBLISHED, pb.SignalEvent.KIND_EXECUTED)


def an_event(symbol: str, model_id: str, signal_type: int, confidence: float, kind: int) -> Event:
    return Event(1, kind, symbol, model_id, signal_type, confidence, b"")


@settings(deadline=None)
@given(
    event=st.builds(
        an_event,
        symbol=st.sampled_from(SYMBOLS),
        model_id=st.sampled_from(MODELS),
        signal_type=st.integers(1, 3),
        confidence=st.floats(0, 1),
        kind=st.integers(1, 4),
    ),
    symbols=st.lists(st.sampled_from(SYMBOLS), max_size=2),
    model_ids=st.lists(st.sampled_from(MODELS), max_size=2),
    signal_types=st.lists(st.integers(1, 3), max_size=2),
    min_confidence=st.just(0.0) | st.floats(0, 1),
    kinds=st.lists(st.integers(1, 4), max_size=2),
)
def test_a_filter_wants_any_value_of_every_field_that_is_set(
    event: Event,
    symbols: list[str],
    model_ids: list[str],
    signal_types: list[Any],
    min_confidence: float,
    kinds: list[Any],
) -> None:
    selection = pb.SignalFilter(
        symbols=symbols,
        model_ids=[model_id.upper() for model_id in model_ids],
        signal_types=signal_types,
        min_confidence=min_confidence,
        kinds=kinds,
    )
    wanted = [
        (symbols, event.symbol),
        (model_ids, event.model_id),
        (signal_types, event.signal_type),
        (kinds, event.kind),
    ]
    expected = event.confidence >= min_confidence and all(value in values for values, value in wanted if values)
    assert EventFilter(selection).matches(event) is expected


@given(st.integers(0, 2**63 - 1), st.binary(max_size=300))
def test_the_encoding_is_that_of_protobuf(number: int, payload: bytes) -> None:
    position = streams_pb2.Position(sequence=number).SerializeToString()
    assert position == (b"\x10" + varint(number) if number else b"")
    assert streams_pb2.Position(epoch=payload.hex()).SerializeToString() == (
        length_delimited(1, payload.hex().encode()) if payload else b""
    )
