"""Starts the processes, kills the bot in the middle, starts it again, and finds out whether anything was lost."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

from ai_grpc.demo.check import differences, read_log, strayed, unheard, unkept
from ai_grpc.demo.generations import hear
from ai_grpc.demo.journal import read
from ai_grpc.demo.judgment import judge
from ai_grpc.demo.processes import Child, child, watched
from ai_grpc.demo.question import ask
from ai_grpc.demo.screen import Screen
from ai_grpc.demo.server import server, until_serving
from ai_grpc.demo.story import Message, Outage, Scale, Story
from ai_grpc.errors import ConfigurationError

BREEDING_SECONDS = 120.0
SILENCE_SECONDS = 30.0
MISSED_SIGNALS = 8
JOURNAL = "bot.jsonl"


class Conductor:
    """One demonstration: `story` fills while it is performed."""

    def __init__(self, scale: Scale, screen: Screen) -> None:
        self.story = Story()
        self._scale = scale
        self._screen = screen
        self._news = asyncio.Condition()
        self._all_published = False
        self._events = 0

    async def perform(self, *, configured_database: bool) -> None:
        """Everything from the first process to the last; ChildDied, in a group, if one dies that should not."""
        begin = time.monotonic()
        with TemporaryDirectory(prefix="ai-grpc-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            async with server(folder, configured_database=configured_database) as (process, target):
                await self._guarded(process, target, folder)
                rows = await ask(self.story.version, None if configured_database else folder)
                self.story.answer = [dict(row) for row in rows]
        self.story.seconds = time.monotonic() - begin

    async def _guarded(self, server: Child, target: str, folder: Path) -> None:
        async with watched(server):
            await until_serving(server, target)
            self._screen.note(f"server: process {server.process.pid} at {target}")
            await self._trade(target, folder)

    async def _trade(self, target: str, folder: Path) -> None:
        scale = self._scale
        sizes = ("--seed", scale.seed, "--population", scale.population, "--generations", scale.generations)
        arguments = (target, *map(str, sizes), "--pace", str(scale.pace))
        async with child("model", "ai_grpc.demo.model", *arguments, folder=folder) as model:
            self._screen.note(f"model: process {model.process.pid}")
            await self._breed(model, target)
            async with asyncio.TaskGroup() as group:
                publishing = group.create_task(self._publish(model))
                await self._live_and_die(model, target, folder)
                await self._live_again(target, folder)
                await publishing
        await self._check(target, folder)
        self.story.judgments = await judge(target, self.story.model_ids, self.story.signal_ids())

    async def _check(self, target: str, folder: Path) -> None:
        story = self.story
        story.journal = read(folder / JOURNAL)
        story.logged = await read_log(target, story.model_ids.values())
        story.faults = unheard(story.generations, story.genes, self._scale.generations + 1)
        story.faults += differences(story.journal, story.logged)
        story.faults += unkept(story.acknowledged, story.logged)
        story.faults += strayed(story.accounts, story.logged)

    async def _breed(self, model: Child, target: str) -> None:
        story = self.story
        registered = await model.receive(within=SILENCE_SECONDS)
        story.version, story.model_ids = registered["version"], registered["model_ids"]
        self._screen.note(f"model: registered version {story.version}")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hear(target))
            story.studies = (await model.receive(within=SILENCE_SECONDS))["studies"]
            self._screen.studied(story.studies)
            bred = await model.receive(within=BREEDING_SECONDS)
        story.genes, story.signals = bred["genes"], bred["signals"]
        self._screen.bred(story.signals)
        if not story.signals:
            raise ConfigurationError("the rules never fire on the trading part: try another seed")

    async def _hear(self, target: str) -> None:
        story, count = self.story, len(self.story.model_ids) * (self._scale.generations + 1)
        async for symbol, generation in hear(target, story.model_ids, count, within=BREEDING_SECONDS):
            story.generations[symbol].append(generation)
            self._screen.generation(symbol, generation)

    async def _publish(self, model: Child) -> None:
        while (message := await model.receive(within=SILENCE_SECONDS))["say"] == "published":
            self._screen.published(message)
            async with self._news:
                self.story.acknowledged.append(message)
                self._news.notify_all()
        async with self._news:
            self._all_published = True
            self._news.notify_all()

    async def _live_and_die(self, model: Child, target: str, folder: Path) -> None:
        async with self._bot(target, folder) as bot:
            self._screen.note(f"bot: process {bot.process.pid}")
            await bot.until("live", within=SILENCE_SECONDS)
            await model.tell("publish")
            published = 0
            while published < max(self.story.signals // 2, 1):
                published += (await self._event(bot))["kind"] == "PUBLISHED"
            await bot.kill()
        self.story.outage = Outage.of(read(folder / JOURNAL))
        self._screen.note(f"bot: killed (SIGKILL) after sequence {self.story.outage.after}")
        enough = len(self.story.acknowledged) + MISSED_SIGNALS
        async with self._news:
            await self._news.wait_for(lambda: self._all_published or len(self.story.acknowledged) >= enough)

    async def _live_again(self, target: str, folder: Path) -> None:
        async with self._bot(target, folder) as bot:
            message = await bot.receive(within=SILENCE_SECONDS)
            self._screen.note(f"bot: process {bot.process.pid}, resumes after sequence {message['after']}")
            self._events, executed = message["events"], message["executed"]
            while executed < self.story.signals:
                executed += (await self._event(bot))["kind"] == "EXECUTED"
            bot.process.terminate()
            self.story.accounts = (await bot.until("result", within=SILENCE_SECONDS))["accounts"]

    async def _event(self, bot: Child) -> Message:
        while (message := await bot.receive(within=SILENCE_SECONDS))["say"] != "event":
            self._screen.note("bot: has caught up")
        self._events += 1
        self._screen.heard(self._events, f"{message['kind']} {message['sequence']}")
        return message

    def _bot(self, target: str, folder: Path) -> AbstractAsyncContextManager[Child]:
        arguments = ("ai_grpc.demo.bot", target, str(folder / JOURNAL), *self.story.model_ids.values())
        return child("bot", "ai_grpc.demo.leash", *arguments, folder=folder)
