"""Histories of a service without a fault, made up at random, for the checker to be tested with."""

from __future__ import annotations

import uuid
from dataclasses import replace
from random import Random

from ai_grpc.v1 import signals_pb2 as pb
from tests.chaos.evidence import PUBLISHED
from tests.chaos.history import (
    Drain,
    End,
    History,
    Measurement,
    Outcome,
    Probe,
    Publish,
    Sent,
    content_of,
)
from tests.chaos.made_up_readers import Readers
from tests.chaos.matching import entry_of
from tests.signals import a_signal

FILTERS = (
    pb.SignalFilter(),
    pb.SignalFilter(symbols=["AAPL"]),
    pb.SignalFilter(min_confidence=0.5, signal_types=[pb.SIGNAL_TYPE_BUY]),
    pb.SignalFilter(kinds=[pb.SignalEvent.KIND_EXECUTED, pb.SignalEvent.KIND_PUBLISHED]),
)
MODEL: str = str(uuid.UUID(int=1))


class World:
    """A service that does everything right, one call after the other; time is counted in calls."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)
        self.history = History(epoch=str(uuid.UUID(int=seed)))
        self._times: list[float] = [0.0]
        self._time = 0.0
        self._repeated: list[Publish] = []

    def run(self, steps: int) -> History:
        """So many calls, then some subscribers, who read while they were made."""
        for _ in range(steps):
            self._rng.choice((self.publish, self.publish, self.publish, self.repeat, self.clash, self.end))()
        self.publish()
        history = self.history
        history.head = len(history.log)
        history.signals = [(entry.signal_id, entry.sequence) for entry in history.log if entry.kind == PUBLISHED]
        readers = Readers(history, self._times, self._rng)
        for number, wanted in enumerate(FILTERS):
            readers.follow(f"reader-{number}", wanted)
        readers.follow_current(FILTERS[0])
        history.probes = [Probe("one", "another epoch", "EPOCH_MISMATCH", "EPOCH_MISMATCH"), Probe("one", "0", "", "")]
        history.drains = [Drain("one", 0.5, 5.0, 0, 3, 3)]
        history.measurements = [Measurement(f"I{number}", "seconds", 1.0, 2.0) for number in range(13, 18)]
        return history

    def trim(self) -> History:
        """The same after retention has deleted a part of the log."""
        history = self.history
        history.floor = self._rng.randint(1, history.head)
        history.log = history.log[history.floor :]
        return history

    def publish(self) -> None:
        """A request for new signals, whose answer may be lost."""
        signals = [self._signal() for _ in range(self._rng.randint(1, 4))]
        sequences = tuple(self._append(PUBLISHED, sent.signal_id, sent.content) for sent in signals)
        made = self._publish(tuple(signals))
        if self._rng.random() < 0.8:
            made = replace(made, sequences=sequences, duplicates=(False,) * len(sequences))
        else:
            made = replace(made, outcome=Outcome.UNKNOWN)
        self._repeated.append(replace(made, sequences=sequences))
        self.history.publishes.append(made)

    def repeat(self) -> None:
        """A request that was made before."""
        if self._repeated:
            first = self._rng.choice(self._repeated)
            made = self._publish(first.signals)
            made = replace(made, sequences=first.sequences, duplicates=(True,) * len(first.signals))
            self.history.publishes.append(made)

    def clash(self) -> None:
        """A request with a new signal and other content for an old one, which is refused."""
        if self._repeated:
            old = self._rng.choice(self._repeated).signals[0]
            made = self._publish((self._signal(), replace(old, content=self._signal().content)))
            self.history.publishes.append(replace(made, outcome=Outcome.FAIL, reason="SIGNAL_EXISTS"))

    def end(self) -> None:
        """Two bots want to end the same signal."""
        log = self.history.log
        over = {entry.signal_id for entry in log if entry.kind != PUBLISHED}
        for entry in self._rng.sample(log, min(1, len(log))):
            for state in ("EXECUTED", "CANCELLED"):
                wins = entry.signal_id not in over
                sequence = self._append(state, entry.signal_id, entry.content) if wins else 0
                over.add(entry.signal_id)
                outcome, reason = (Outcome.OK, "") if wins else (Outcome.FAIL, "SIGNAL_NOT_ACTIVE")
                times = self._step()
                self.history.ends.append(End("bot", "one", *times, outcome, entry.signal_id, state, sequence, reason))

    def _signal(self) -> Sent:
        signal = a_signal(
            MODEL,
            signal_id=str(uuid.UUID(int=self._rng.getrandbits(128))),
            symbol=self._rng.choice(("AAPL", "MSFT")),
            signal_type=self._rng.choice((pb.SIGNAL_TYPE_BUY, pb.SIGNAL_TYPE_SELL)),
            confidence=round(self._rng.random(), 4),
        )
        return Sent(signal.signal_id, content_of(signal))

    def _append(self, kind: str, signal_id: str, content: bytes) -> int:
        sequence = len(self.history.log) + 1
        self.history.log.append(entry_of(sequence, kind, signal_id, content))
        self._times.append(self._time + 0.5)
        return sequence

    def _publish(self, signals: tuple[Sent, ...]) -> Publish:
        return Publish("model", "one", *self._step(), Outcome.OK, signals)

    def _step(self) -> tuple[float, float]:
        self._time += 1
        return self._time - 1, self._time - 0.25
