"""Histories of a service without a fault, made up at random, for the checker to be tested with."""

from __future__ import annotations

import uuid
from dataclasses import replace
from random import Random

from tests.chaos.history import Drain, End, Entry, History, Measurement, Outcome, Probe, Publish, Row, Sent
from tests.chaos.made_up_nouns import SIGNALS, Subject
from tests.chaos.made_up_readers import Readers
from tests.chaos.matching import entry_of
from tests.chaos.nouns import BEGINNINGS, noun_of, sent_of


class World:
    """A service that does everything right, one call after the other; time is counted in calls."""

    def __init__(self, seed: int, subject: Subject = SIGNALS) -> None:
        self._rng, self._subject = Random(seed), subject
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
        history.rows = [self._row(entry) for entry in history.log if entry.kind in BEGINNINGS]
        readers = Readers(history, self._times, self._rng)
        for number, wanted in enumerate(self._subject.filters):
            readers.follow(f"reader-{number}", wanted)
        readers.follow_current(self._subject.filters[0])
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
        """A request for something new, whose answer may be lost."""
        items = self._subject.make(self._rng, self._rng.randint(1, 4))
        kind, sent = noun_of(items[0]).kinds[0], sent_of(items)
        places = [self._append(kind, one.key, one.content) for one in sent]
        sequences = tuple(place if self._subject.named else 0 for place in places)
        made = self._publish(sent)
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
            made = self._publish(first.items)
            made = replace(made, sequences=first.sequences, duplicates=(True,) * len(first.items))
            self.history.publishes.append(made)

    def clash(self) -> None:
        """A request with something new and other content for something old, which is refused."""
        if self._repeated:
            old = self._rng.choice(self._repeated).items[0]
            new, other = (sent_of(self._subject.make(self._rng, 1))[0] for _ in range(2))
            made = self._publish((new, replace(old, content=other.content)))
            self.history.publishes.append(replace(made, outcome=Outcome.FAIL, reason="SIGNAL_EXISTS"))

    def end(self) -> None:
        """Two bots want to end the same."""
        log = self.history.log
        over = {entry.key for entry in log if entry.kind not in BEGINNINGS}
        mortal = [entry for entry in log if len(noun_of(entry.message).kinds) > 1]
        for entry in self._rng.sample(mortal, min(1, len(mortal))):
            for state in self._subject.states:
                wins = entry.key not in over
                sequence = self._append(state, entry.key, entry.content) if wins else 0
                named = sequence if self._subject.named else 0
                over.add(entry.key)
                outcome, reason = (Outcome.OK, "") if wins else (Outcome.FAIL, "SIGNAL_NOT_ACTIVE")
                times = self._step()
                self.history.ends.append(End("bot", "one", *times, outcome, entry.key, state, named, reason))

    def _row(self, entry: Entry) -> Row:
        kept = entry.kind not in self._subject.unplaced
        return Row(entry.kind, entry.key, entry.sequence if kept else None, entry.content)

    def _append(self, kind: str, key: str, content: bytes) -> int:
        sequence = len(self.history.log) + 1
        self.history.log.append(entry_of(sequence, kind, key, content))
        self._times.append(self._time + 0.5)
        return sequence

    def _publish(self, items: tuple[Sent, ...]) -> Publish:
        return Publish("model", "one", *self._step(), Outcome.OK, items)

    def _step(self) -> tuple[float, float]:
        self._time += 1
        return self._time - 1, self._time - 0.25
