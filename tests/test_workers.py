"""Several processes on one port, as an operator runs them."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
import shutil
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import psutil
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthListRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from ai_grpc.embedded import embedded
from ai_grpc.errors import ConfigurationError
from ai_grpc.logs import AccessLog
from ai_grpc.port import held_port
from ai_grpc.v1 import signals_pb2 as pb
from ai_grpc.v1 import streams_pb2
from tests.cluster import free_port
from tests.load import load_on
from tests.server import ServerProcess, serving
from tests.signals import a_signal, an_active_model, execute, publish
from tests.streams import events, sequences, started, subscribe, until

WORKERS: Final = {"AI_GRPC_WORKERS": "2"}
SECONDS: Final = 120
# Each channel has a connection of its own, which the system gives to one of the workers.
OWN_CONNECTION: Final = [("grpc.use_local_subchannel_pool", 1)]
LATER: Final = "INSERT INTO schema_migrations (version) VALUES ('9999')"


async def test_workers_share_a_port_and_every_signal_and_are_told_apart(database: str, tmp_path: Path) -> None:
    async with (
        asyncio.timeout(SECONDS),
        two_workers(database, tmp_path) as server,
        a_channel_to_each(server) as channels,
    ):
        streams = {server_id: subscribe(channel) for server_id, channel in channels.items()}
        for server_id, stream in streams.items():
            assert (await started(stream)).started.server_id == server_id
        model_id = await an_active_model(next(iter(channels.values())))
        for channel in channels.values():
            await publish(channel, a_signal(model_id))
        for stream in streams.values():
            assert sequences(await events(stream, 2)) == [1, 2]
        assert await server.terminate() == 0
        for number in (1, 2):
            (server_id,) = (each for each in channels if each.endswith(f"-worker-{number}"))
            assert f"worker {number} ai_grpc.app: serving on {server.target} as {server_id}" in server.log
            assert f"worker {number} ai_grpc.access: /ai_grpc.v1.SignalService/PublishSignals OK" in server.log


async def test_every_answer_about_health_names_the_worker_that_gave_it(database: str, tmp_path: Path) -> None:
    async with (
        asyncio.timeout(SECONDS),
        two_workers(database, tmp_path) as server,
        a_channel_to_each(server) as channels,
    ):
        for server_id, channel in channels.items():
            health = HealthStub(channel)
            assert await trailer(health.List(HealthListRequest())) == server_id
            assert await trailer(health.Check(HealthCheckRequest(service="another"))) == server_id


async def test_killed_worker_is_replaced_and_its_subscriber_goes_on(database: str, tmp_path: Path) -> None:
    async with asyncio.timeout(SECONDS), two_workers(database, tmp_path) as server:
        async with a_channel_to_each(server) as channels:
            (first, first_channel), (_, second_channel) = sorted(channels.items(), key=lambda item: item[0][-1])
            model_id = await an_active_model(second_channel)
            stream = subscribe(first_channel)
            await started(stream)
            await publish(second_channel, a_signal(model_id))
            message = (await until(stream, "batch"))[-1]
            os.kill(process_of(first), signal.SIGKILL)
            with pytest.raises(grpc.aio.AioRpcError):
                await until(stream, "closing")
            # The other one never stopped.
            await publish(second_channel, a_signal(model_id))
        await logged(server, "worker 1 died: SIGKILL", "worker 1 is replaced", "worker 1 serves")
        async with a_channel_to_each(server) as channels:
            assert first not in channels
            resumed = [subscribe(channel, after=message.position) for channel in channels.values()]
            assert [sequences(await events(each, 1)) for each in resumed] == [[2], [2]]


async def test_killed_workers_lose_and_double_nothing(database: str, tmp_path: Path) -> None:
    async with (
        asyncio.timeout(SECONDS),
        two_workers(database, tmp_path) as server,
        load_on(database, [server.target], [pb.SignalFilter()] * 4, publishers=4, per_second=250) as acks,
    ):
        for count in (1, 2, 1):
            served = server.log.count(" serves")
            for worker in random.sample(psutil.Process(server.pid).children(), count):
                worker.kill()
            await logged(server, *[" serves"] * (served + count))
    assert len(acks) > 300


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_every_worker_says_goodbye(number: signal.Signals, database: str, tmp_path: Path) -> None:
    async with (
        asyncio.timeout(SECONDS),
        two_workers(database, tmp_path) as server,
        a_channel_to_each(server) as channels,
    ):
        streams = [subscribe(channel) for channel in channels.values()]
        for stream in streams:
            await started(stream)
        os.kill(server.pid, number)
        for stream in streams:
            assert (await until(stream, "closing"))[-1].closing.reason == streams_pb2.Closing.REASON_SHUTDOWN
        assert server.process is not None
        assert await server.process.wait() == 0
    assert server.log.count("ended: status 0") == 2


async def test_told_to_stop_while_it_starts_it_leaves_nothing_behind(database: str) -> None:
    async with asyncio.timeout(SECONDS), started_service(database) as process:
        assert process.stderr is not None
        worker = None
        while worker is None:
            line = (await process.stderr.readline()).decode()
            assert line, "it ended"
            worker = re.search(r"worker 1 started, process (\d+)", line)
        process.terminate()
        await process.communicate()
        assert process.returncode == 0
        assert not psutil.pid_exists(int(worker[1]))


async def test_killed_supervisor_leaves_no_worker_behind(database: str, tmp_path: Path) -> None:
    async with (
        asyncio.timeout(SECONDS),
        two_workers(database, tmp_path) as server,
        a_channel_to_each(server) as channels,
    ):
        workers = psutil.Process(server.pid).children()
        assert {each.pid for each in workers} == {process_of(server_id) for server_id in channels}
        streams = [subscribe(channel) for channel in channels.values()]
        for stream in streams:
            await started(stream)
        await server.kill()
        for stream in streams:
            assert (await until(stream, "closing"))[-1].HasField("closing")
        _, alive = await asyncio.to_thread(psutil.wait_procs, workers, 15)
        assert not alive


async def test_worker_that_does_not_drain_is_killed_and_the_exit_status_tells(database: str, tmp_path: Path) -> None:
    async with (
        asyncio.timeout(SECONDS),
        two_workers(database, tmp_path, AI_GRPC_DRAIN_GRACE="1") as server,
    ):
        frozen = psutil.Process(server.pid).children()[1]
        frozen.suspend()
        assert await server.terminate() == 1
        assert not frozen.is_running()
    assert last_line(server.log) == "ai-grpc: worker 2 was killed: it did not end within 5 s"
    assert "worker 1 ended: status 0" in server.log


async def test_worker_that_cannot_start_again_ends_the_service(database: str, tmp_path: Path) -> None:
    async with (
        asyncio.timeout(SECONDS),
        two_workers(database, tmp_path) as server,
        a_channel_to_each(server) as channels,
    ):
        await execute(database, LATER)
        first, second = sorted(channels, key=lambda server_id: server_id[-1])
        stream = subscribe(channels[second])
        await started(stream)
        os.kill(process_of(first), signal.SIGKILL)
        assert (await until(stream, "closing"))[-1].HasField("closing")
        assert server.process is not None
        assert await server.process.wait() == 1
    assert re.fullmatch(
        r"ai-grpc: worker 1 died 5 times in a row at its start: the schema is newer .*", last_line(server.log)
    )


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("AI_GRPC_DATABASE_ROLE", "nobody_at_all", 'role "nobody_at_all" does not exist'),
        ("AI_GRPC_READ_DATABASE_URL", "mysql://127.0.0.1/trading", "database URL is not readable"),
        ("AI_GRPC_LOG_LEVEL", "LOUD", "AI_GRPC_LOG_LEVEL is 'LOUD'"),
        ("AI_GRPC_WORKERS", "65", "AI_GRPC_WORKERS in the environment"),
        ("AI_GRPC_HOST", "no-such-host.invalid", "cannot be listened on"),
    ],
)
async def test_mistake_of_the_configuration_is_said_once(name: str, value: str, advice: str, database: str) -> None:
    assert advice in await failed_start(database, **{name: value})


async def test_database_without_its_schema_stops_the_start(empty_database: str) -> None:
    assert "ai-grpc migrate up" in await failed_start(empty_database)


async def test_port_that_another_program_has_is_refused(database: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for host in ("127.0.0.1", "[::]"):
            assert f"{host}:{port} cannot be listened on" in await failed_start(
                database, AI_GRPC_PORT=str(port), AI_GRPC_HOST=host
            )


async def test_two_services_of_one_user_do_not_share_a_port(database: str, tmp_path: Path) -> None:
    async with asyncio.timeout(SECONDS), two_workers(database, tmp_path) as server:
        for workers in ("1", "2"):
            line = await failed_start(database, AI_GRPC_PORT=str(server.port), AI_GRPC_WORKERS=workers)
            assert "is the port taken?" in line


def test_port_is_kept_from_others_before_anybody_listens() -> None:
    with held_port("[::]", 0) as port:
        for host in ("[::]", "127.0.0.1", "0.0.0.0", "[::1]"):
            with pytest.raises(ConfigurationError, match=f"{port} cannot be listened on"), held_port(host, port):
                pass
    with held_port("localhost", port) as again:
        assert again == port


async def test_port_0_is_one_port_for_all(database: str) -> None:
    async with asyncio.timeout(SECONDS), started_service(database, AI_GRPC_PORT="0") as process:
        assert process.stderr is not None
        ports: list[str] = []
        while len(ports) < 2:
            line = (await process.stderr.readline()).decode()
            assert line, "it ended"
            ports += re.findall(r"serving on 127\.0\.0\.1:(\d+) as", line)
        assert ports[0] == ports[1] != "0"
        process.terminate()
        await process.communicate()
        assert process.returncode == 0


async def test_workers_use_the_embedded_database_of_their_supervisor(data_dir: Path, tmp_path: Path) -> None:
    async with asyncio.timeout(SECONDS):
        async with two_workers("", tmp_path, AI_GRPC_DATA_DIR=str(data_dir)) as server:
            async with a_channel_to_each(server) as channels:
                first, second = channels.values()
                stream = subscribe(first)
                await started(stream)
                await publish(second, a_signal(await an_active_model(second)))
                assert sequences(await events(stream, 1)) == [1]
            assert await server.terminate() == 0
        assert not (data_dir / "postgresql-18" / "data" / "postmaster.pid").exists()


async def test_no_password_is_among_the_arguments(database: str, tmp_path: Path) -> None:
    async with asyncio.timeout(SECONDS), two_workers(database, tmp_path) as server:
        for worker in psutil.Process(server.pid).children():
            assert not [word for word in worker.cmdline() if "postgres" in word]


async def test_database_of_the_command_line_is_that_of_the_workers(database: str) -> None:
    async with (
        asyncio.timeout(SECONDS),
        started_service("postgresql://127.0.0.1:1/none", "--database-url", database) as process,
    ):
        assert process.stderr is not None
        while b"worker 2 serves" not in (line := await process.stderr.readline()):
            assert line, "it ended"


async def test_lines_of_the_access_log_are_written_in_pieces_that_a_pipe_keeps_together(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = AccessLog(64)
    with caplog.at_level(logging.INFO):
        for _ in range(100):
            log.add("/service/method", "x" * 180, 0.001, "peer", "id")
        log.flush()
    assert sum(record.message.count("worker 64") for record in caplog.records) == 100
    assert max(len(record.message) for record in caplog.records) < 4096


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that the user of PostgreSQL can reach."""
    folder = Path(tempfile.mkdtemp(prefix="ai-grpc-embedded-"))
    folder.chmod(0o755)
    yield folder
    with embedded(folder):
        pass
    shutil.rmtree(folder)


@asynccontextmanager
async def two_workers(database: str, folder: Path, **settings: str) -> AsyncIterator[ServerProcess]:
    """A service of two workers that both serve."""
    async with serving(database, folder / "log", {**WORKERS, **settings}) as server:
        await logged(server, "worker 2 serves")
        yield server


@asynccontextmanager
async def a_channel_to_each(server: ServerProcess) -> AsyncIterator[dict[str, grpc.aio.Channel]]:
    """A channel to each of two workers, by what the worker calls itself."""
    async with AsyncExitStack() as stack:
        channels: dict[str, grpc.aio.Channel] = {}
        while len(channels) < 2:
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.target, OWN_CONNECTION))
            channels.setdefault(await trailer(HealthStub(channel).Check(HealthCheckRequest(), timeout=10)), channel)
        yield channels


async def trailer(call: Any) -> str:
    """Which worker answered a call to the health service, whatever the answer is."""
    return str(dict(await call.trailing_metadata())["x-server-id"])


async def logged(server: ServerProcess, *lines: str) -> None:
    """Waits until the lines are in the log, in this order."""
    assert server.process is not None
    found = 0
    for line in lines:
        while (place := server.log.find(line, found)) < 0:
            assert server.process.returncode is None, server.log
            await asyncio.sleep(0.02)
        found = place + len(line)


def process_of(server_id: str) -> int:
    """The process that calls itself so."""
    return int(server_id.split("-")[-3])


def last_line(log: str) -> str:
    """What the service said last."""
    return log.splitlines()[-1]


async def failed_start(url: str, **settings: str) -> str:
    """The one line that the program writes last, having started one worker at most."""
    async with asyncio.timeout(SECONDS), started_service(url, **settings) as process:
        _, errors = await process.communicate()
    text = errors.decode()
    assert process.returncode == 1, text
    assert "Traceback" not in text
    assert text.count("started, process") <= 1
    assert text.count("ai-grpc: ") == 1
    assert last_line(text).startswith("ai-grpc: ")
    return last_line(text)


@asynccontextmanager
async def started_service(url: str, *options: str, **settings: str) -> AsyncIterator[Process]:
    """A service of two workers that starts, gone afterwards."""
    own = {"DATABASE_URL": url, "AI_GRPC_HOST": "127.0.0.1", "AI_GRPC_PORT": str(free_port()), **WORKERS}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ai_grpc", "serve", *options), env={**os.environ, **own, **settings}, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
