"""One run: a database, servers and clients, faults for a while, then peace, and then the judgement."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from ai_grpc import migrations
from tests.chaos.arena import Arena
from tests.chaos.bugs import apply
from tests.chaos.checker import Violation, check
from tests.chaos.clients import Clients
from tests.chaos.convergence import CONVERGENCE_SECONDS, converge
from tests.chaos.faults_retention import probe_everywhere
from tests.chaos.findings import a_run
from tests.chaos.fleet import a_fleet
from tests.chaos.history import History, Measurement
from tests.chaos.measuring import measure
from tests.chaos.nemesis import trouble
from tests.chaos.oracle import read_log
from tests.chaos.polling import measure_polling
from tests.chaos.report import Outcome
from tests.cluster import Cluster
from tests.signals import an_active_model

REPLICAS: Final = 3
WARM_UP_SECONDS: Final = 2.0
PROGRESS_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.2
MEASURED_SHARE: Final = 0.25
MEASURED_SECONDS: Final = (5.0, 60.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `bug` is the name of a seeded one."""

    seed: int
    seconds: float
    faults: Collection[str]
    bug: str = ""

    @property
    def command(self) -> str:
        """What runs it again."""
        chosen = f" --faults {','.join(self.faults)}" if self.faults else ""
        bug = f" --bug {self.bug}" if self.bug else ""
        return f"python -m tests.chaos --duration {self.seconds:g} --seed {self.seed}{chosen}{bug}"


async def run(plan: Plan, chosen: Collection[str], say: Callable[[str], None]) -> Outcome:
    """Runs the plan with the chosen faults, and says every few seconds how it goes."""
    with Cluster() as cluster, tempfile.TemporaryDirectory(prefix="ai-grpc-chaos-") as folder:
        await asyncio.to_thread(migrations.up, cluster.url())
        settings = {"CHAOS_BUG": plan.bug} if plan.bug else {}
        if plan.bug:
            await apply(cluster.url(), plan.bug)
        async with a_fleet(cluster, Path(folder), REPLICAS, settings) as replicas:
            async with grpc.aio.insecure_channel(replicas[0].target) as channel:
                model_ids = [await an_active_model(channel) for _ in range(2)]
                runs = [await a_run(channel, model_id) for model_id in model_ids]
            arena = Arena(cluster, replicas, model_ids, runs, Path(folder))
            try:
                await _under_load(arena, plan, chosen, say)
            finally:
                if arena.child is not None:
                    arena.child.kill()
            for ledger, history in arena.histories.items():
                await read_log(history, ledger, cluster.url())
    say("checking")
    violations = await asyncio.to_thread(_check, arena.histories.values())
    return Outcome(plan.seed, plan.seconds, arena, violations, plan.command)


def _check(histories: Iterable[History]) -> list[Violation]:
    return [violation for history in histories for violation in check(history)]


async def _under_load(arena: Arena, plan: Plan, chosen: Collection[str], say: Callable[[str], None]) -> None:
    measured = min(max(plan.seconds * MEASURED_SHARE, MEASURED_SECONDS[0]), MEASURED_SECONDS[1])
    async with asyncio.TaskGroup() as group:
        clients = Clients(arena, group, plan.seed)
        observers = [group.create_task(_progress(arena, say)), group.create_task(_watch(arena))]
        await clients.start()
        await asyncio.sleep(WARM_UP_SECONDS)
        await trouble(arena, plan.seed, plan.seconds - measured, chosen)
        say("healing")
        await arena.heal()
        await converge(arena, clients.subscribers, "after the faults")
        say("measuring")
        await measure(arena, measured)
        await _finish(arena, clients)
        for observer in observers:
            observer.cancel()


async def _finish(arena: Arena, clients: Clients) -> None:
    what = "in the end: seconds until every publisher is answered"
    seconds = round(await clients.stop_publishing(), 3)
    arena.history.measurements.append(Measurement("I13", what, seconds, CONVERGENCE_SECONDS))
    await converge(arena, clients.subscribers, "in the end")
    await measure_polling(arena)
    await probe_everywhere(arena)
    arena.history.streams += await clients.stop_subscribing()


async def _progress(arena: Arena, say: Callable[[str], None]) -> None:
    started = time.monotonic()
    while True:
        counts = Counter[str]()
        for noun, recording in arena.recordings.items():
            counts.update(recording.counts)
            counts[noun.field] = recording.counts["acknowledged"]
        say(
            f"{time.monotonic() - started:4.0f} s  signals {counts['signal']:,}  anomalies {counts['anomaly']:,}"
            f"  ends {counts['end ok']:,}  streams {counts['streams']:,}  unknown {counts['publish unknown']:,}"
            f"  faults {arena.injected.total()}  {' '.join(sorted(arena.active))}"
        )
        await asyncio.sleep(PROGRESS_SECONDS)


async def _watch(arena: Arena) -> None:
    """Servers end when they are told to, never by themselves; one that does is started again."""
    ended = 0
    try:
        while True:
            for replica in arena.replicas:
                if replica.ended_by_itself:
                    ended += 1
                    arena.troubles.append(f"{replica.name} ended by itself: {_last_words(replica.log)}")
                    await replica.revive()
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        arena.history.measurements.append(Measurement("I13", "servers that ended by themselves", ended, 0))


def _last_words(log: str) -> str:
    return "\n".join(log.splitlines()[-12:])
