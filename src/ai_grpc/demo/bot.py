"""The bot process: trades the signals of the models on paper, and forgets nothing when it is killed."""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid5

from grpc import aio

from ai_grpc.client import SignalSubscriber, connect, error_of_call
from ai_grpc.demo.journal import Entered, Journal
from ai_grpc.demo.paper import Account, summary
from ai_grpc.demo.prices import MARKETS, load
from ai_grpc.demo.processes import say
from ai_grpc.demo.signals import to_entry
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import signals_pb2_grpc

CLAIM_TIMEOUT = 10.0


class Bot:
    """Paper accounts that follow the signals of the journal, in the order of the log.

    It trades the signals that it was the one to end as EXECUTED: of many bots, one.
    """

    def __init__(self, journal: Journal, signals: signals_pb2_grpc.SignalServiceAsyncStub) -> None:
        self._journal = journal
        self._signals = signals
        self._series = {symbol: load(symbol) for symbol in MARKETS}
        self._accounts = {symbol: Account(series, series.split) for symbol, series in self._series.items()}

    async def remember(self) -> None:
        """Brings the accounts to where the journal ends, and acts on what a kill has left undone."""
        for entered in self._journal.entered:
            await self._act(entered)

    async def handle(self, entered: Entered) -> None:
        """Writes an event down, then acts on it."""
        self._journal.append(entered)
        say("event", kind=entered.kind, sequence=entered.sequence)
        await self._act(entered)

    def report(self) -> dict[str, dict[str, object]]:
        """What each account has come to at the end of the prices."""
        return {symbol: summary(self._series[symbol], account) for symbol, account in self._accounts.items()}

    async def _act(self, entered: Entered) -> None:
        if entered.kind == "PUBLISHED" and await self._claim(entered.signal_id):
            advice = entered.to_signal()
            self._accounts[advice.symbol].follow(to_entry(advice, self._series[advice.symbol]))

    async def _claim(self, signal_id: str) -> bool:
        # The id of the request follows from the signal's: the server recognises a repetition, and says who won.
        request_id = str(uuid5(UUID(signal_id), "executed"))
        request = pb.UpdateSignalStateRequest(
            signal_id=signal_id, state=pb.SIGNAL_STATE_EXECUTED, request_id=request_id
        )
        try:
            await self._signals.UpdateSignalState(request, timeout=CLAIM_TIMEOUT, wait_for_ready=True)
        except aio.AioRpcError as failure:
            if error_of_call(failure).reason_name == "SIGNAL_NOT_ACTIVE":
                return False
            raise
        return True


async def run(target: str, path: Path, model_ids: list[str]) -> None:
    """Remembers, follows the signals until SIGTERM, then reports."""
    loop, this, told = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
    assert this is not None
    loop.add_signal_handler(signal.SIGTERM, told.set)
    with Journal(path) as journal:
        kinds = [entered.kind for entered in journal.entered]
        after = journal.position.sequence if journal.position else 0
        say("resumes", after=after, events=len(kinds), executed=kinds.count("EXECUTED"))
        async with connect(target) as channel:
            bot = Bot(journal, signals_pb2_grpc.SignalServiceStub(channel))
            await bot.remember()
            if not told.is_set():
                loop.add_signal_handler(signal.SIGTERM, this.cancel)
                models = pb.SignalFilter(model_ids=model_ids)
                subscriber = SignalSubscriber(target, start="earliest", position=journal.position, filter=models)
                with suppress(asyncio.CancelledError):
                    await follow(subscriber, bot)
    say("result", accounts=bot.report())


async def follow(subscriber: SignalSubscriber, bot: Bot) -> None:
    """Hands each event to the bot, and says when the past ones are through."""
    async with subscriber, asyncio.TaskGroup() as group:
        group.create_task(tell_when_live(subscriber))
        async for event in subscriber:
            position = subscriber.position
            assert position is not None
            await bot.handle(
                Entered.of(event, epoch=position.epoch, received_ns=time.time_ns(), live=subscriber.caught_up.is_set())
            )


async def tell_when_live(subscriber: SignalSubscriber) -> None:
    """Says it once."""
    await subscriber.caught_up.wait()
    say("live")


def main() -> None:
    """Runs the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("journal", type=Path)
    parser.add_argument("model_ids", nargs="+")
    given = parser.parse_args()
    asyncio.run(run(given.target, given.journal, given.model_ids))


if __name__ == "__main__":
    main()
