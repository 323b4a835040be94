"""What may go wrong in a right history, and the invariant that must be named then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.chaos import mutations_log as log
from tests.chaos import mutations_streams as streams
from tests.chaos.history import History
from tests.chaos.made_up_nouns import EVENTS, SIGNALS, Subject


@dataclass(frozen=True, slots=True)
class Damage:
    """What breaks, the invariant that must be named, and of which logs. The mutation raises IndexError where it does
    not fit."""

    invariant: str
    mutation: Callable[[History, Random], None]
    subjects: tuple[Subject, ...] = (SIGNALS, EVENTS)


DAMAGES: Final = [
    Damage("I1", log.lose_an_acknowledged_signal),
    Damage("I1", log.write_another_content),
    Damage("I2", streams.corrupt_a_delivery),
    Damage("I2", log.keep_what_was_rolled_back),
    Damage("I2", log.write_another_content),
    Damage("I2", log.write_what_was_refused),
    Damage("I3", streams.deliver_another_signal),
    Damage("I3", streams.corrupt_a_delivery),
    Damage("I4", log.tell_another_sequence, (SIGNALS,)),
    Damage("I4", log.tell_two_that_they_were_first),
    Damage("I4", log.publish_twice),
    Damage("I5", log.lose_a_row),
    Damage("I5", log.lose_the_end),
    Damage("I5", log.lose_the_beginning),
    Damage("I5", log.log_nothing_of_a_row),
    Damage("I5", log.keep_what_was_rolled_back),
    Damage("I6", log.swap_the_log),
    Damage("I7", streams.swap_two_events),
    Damage("I7", streams.repeat_an_event),
    Damage("I8", streams.drop_an_event),
    Damage("I8", streams.give_what_is_not_wanted),
    Damage("I8", streams.mistake_the_topic, (EVENTS,)),
    Damage("I9", streams.forget_what_was_taken),
    Damage("I9", streams.skip_after_a_resume),
    Damage("I10", streams.promise_too_much),
    Damage("I10", streams.go_back),
    Damage("I10", streams.change_the_epoch),
    Damage("I11", log.tear_a_request),
    Damage("I11", log.spread_a_request, (SIGNALS,)),
    Damage("I11", log.write_what_was_refused),
    Damage("I12", log.accept_a_wrong_position),
    Damage("I16", streams.end_without_goodbye),
    Damage("I16", log.drain_too_long),
    Damage("I18", log.let_the_second_win),
    Damage("I18", log.win_without_an_event),
    Damage("I18", log.end_twice),
    Damage("I19", log.refuse_without_cause),
    Damage("I19", log.lose_a_known_signal),
    Damage("I19", log.commit_what_was_to_be_rolled_back),
    Damage("I20", streams.leave_out_an_active_signal),
    Damage("I20", streams.give_an_ended_signal),
]
