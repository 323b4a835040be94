"""The report says what happened, also when that is not flattering."""

from __future__ import annotations

import io
from dataclasses import replace
from decimal import Decimal

import pytest
from rich.console import Console

from ai_grpc.demo.check import Logged
from ai_grpc.demo.journal import Entered
from ai_grpc.demo.judgment import Judgment
from ai_grpc.demo.question import QUESTION
from ai_grpc.demo.report import percentiles, show, sparkline
from ai_grpc.demo.story import Outage, Story
from ai_grpc.v1 import performance_pb2 as pb_performance
from ai_grpc.v1 import signals_pb2 as pb


def an_account(gain: float, hold: float) -> dict[str, object]:
    return {
        "trades": 3,
        "won": 1,
        "gain": gain,
        "sharpe": 0.5,
        "hold": hold,
        "begin": "2010-01-01",
        "end": "2013-03-01",
    }


def a_judgment(total_return: float) -> Judgment:
    performance = pb_performance.ModelPerformance(
        signal_accuracy=0.5, win_rate=0.4, max_drawdown=0.2987, total_return=total_return, avg_holding_period_hours=476
    )
    return Judgment(performance, pb_performance.GetCalibrationResponse(expected_calibration_error=0.13))


def a_story() -> Story:
    genes = {"sma_short": 9, "sma_long": 35, "rsi_period": 14, "rsi_oversold": 30, "rsi_overbought": 70}
    bred = [{"number": n, "best_fitness": n + 1.0, "average_fitness": n + 0.5, "best": genes} for n in range(3)]
    event = pb.SignalEvent(sequence=1, kind=pb.SignalEvent.KIND_PUBLISHED, signal=pb.Signal(signal_id="a"))
    entered = Entered.of(event, epoch="e", received_ns=2_000_000, live=True)
    study = {"vectors": 10, "jumps": 2, "cycle": 25.2, "significance": 0.82}
    return Story(
        generations={"GOOG": bred, "EURUSD": bred},
        version="20260101",
        model_ids={"GOOG": "g", "EURUSD": "e"},
        studies={"GOOG": study, "EURUSD": study | {"cycle": 2.0, "significance": 0.99}},
        signals=1,
        acknowledged=[{"symbol": "GOOG", "type": "SELL", "seconds": 0.004, "signal_id": "a", "sequence": 1}],
        outage=Outage(after=0, pending=1),
        accounts={"GOOG": an_account(0.1, 0.6), "EURUSD": an_account(0.05, 0.04)},
        judgments={"GOOG": a_judgment(0.034), "EURUSD": a_judgment(0.05)},
        answer=[{"symbol": "GOOG", "rule": "cross", "signals": 25, "mean_percent": Decimal("1.934")}],
        journal=[entered],
        logged=Logged("e", [event]),
    )


def shown(story: Story) -> str:
    console = Console(file=io.StringIO(), width=200)
    show(story, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_report_tells_losing_from_winning_against_buy_and_hold() -> None:
    text = shown(a_story())
    assert "In GOOG the bot loses against buy and hold: +10.00%, not +60.00%." in text
    assert "In EURUSD the bot beats buy and hold: +5.00%, not +4.00%." in text


def test_report_has_genes_kinds_latencies_and_the_kill() -> None:
    text = shown(a_story())
    assert "SMA 9/35, RSI 14 at 30/70" in text
    assert "p50 4.00 ms, p99 4.00 ms (1 signals)" in text
    assert "p50 2.00 ms" in text
    assert "killed (SIGKILL) when it had written down sequence 0" in text


def test_report_shows_what_the_service_judges_and_says_what_it_does_not_know() -> None:
    (row,) = [line for line in shown(a_story()).splitlines() if "29.87%" in line and "+3.40%" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        *("GOOG", "50%", "40%", "-", "+3.40%", "29.87%", "476 h", "0.13")
    ]


def test_report_says_where_the_service_and_the_bot_differ_and_is_silent_where_they_do_not() -> None:
    text = shown(a_story())
    assert "The service's returns are not the bot's: +3.40% against +10.00% in GOOG. It judges" in text
    equal = replace(a_story(), accounts={"GOOG": an_account(0.034, 0.6), "EURUSD": an_account(0.05, 0.04)})
    assert "not the bot's" not in shown(equal)


def test_report_has_cycles_with_their_significance() -> None:
    assert "25.2 bars in GOOG (significance 0.82), 2.0 bars in EURUSD (significance 0.99)" in shown(a_story())


def test_report_shows_a_question_that_can_be_asked_again_and_its_answer() -> None:
    text = shown(a_story())
    assert QUESTION.replace("$1", "'20260101'") in text
    assert "symbol  rule   signals  mean_percent\n  GOOG    cross       25         1.934" in text


def test_report_of_models_without_signals_has_no_judgment() -> None:
    text = shown(replace(a_story(), judgments={}, answer=[]))
    assert "not the bot's" not in text
    assert "SELECT" not in text


def test_report_says_equal_only_without_faults() -> None:
    assert "is equal to the signal log: 1 events, sequence 1 to 1" in shown(a_story())
    faulty = shown(replace(a_story(), faults=["event 1: the bot has nothing"]))
    assert "equal to the signal log: 1 events" not in faulty
    assert "NOT equal to the signal log: 1 faults" in faulty
    assert "event 1: the bot has nothing" in faulty


@pytest.mark.parametrize("values", [[1.0], [1.0, 1.0], [0.0, 5.0, 10.0]])
def test_sparkline_has_its_width_and_follows_the_values(values: list[float]) -> None:
    line = sparkline(values, width=6)
    assert len(line) == 6
    assert list(line) == sorted(line)
    if values[-1] > values[0]:
        assert (line[0], line[-1]) == ("▁", "█")


def test_percentiles_of_nothing_are_not_invented() -> None:
    assert percentiles([]) == "none measured"
