"""Hours of bad luck in minutes: servers that are killed, frozen, flooded and restarted, and nothing may grow.

    python benchmarks/soak.py [--minutes 1 | --quick] [--servers 4] [--seed N]

One Supervisor as a library, with log-rotation, sse-health, regex-port and env-sanitizer. About once a second
one server meets one fault. In pauses, when all are ready again, memory, descriptors, threads and tasks are
noted; at the end it is counted what was left behind. Ends with 1 when anything grew, was lost or was left.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from hostler import (
    Directories,
    Launch,
    PluginSpec,
    RestartPolicy,
    Server,
    ServerError,
    ServerSpec,
    Supervisor,
    hookimpl,
)
from measuring import as_table
from soak_findings import Ledger, Sample, look, lost_lines, rows
from soak_server import SECRET
from stage import forget_ignored_signals

CHILD = Path(__file__).with_name("soak_server.py")
PAUSE_EVERY = 10.0
PATIENCE = 60.0


class Scratch:
    """A plugin whose temporary folder and deferred clean-up are to be gone with each run."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.folder, self.ledger = folder, ledger

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        folder = Path(tempfile.mkdtemp(dir=self.folder, prefix=launch.server))
        launch.remove_at_end(folder)
        (folder / "file").write_text("something")
        self.ledger.deferred += 1
        launch.defer(self._release)

    def _release(self) -> None:
        self.ledger.deferred -= 1


def specs(count: int, folder: Path, ledger: Ledger) -> list[ServerSpec]:
    """Servers that are restarted without end, and soon."""
    scratch, counts = folder / "tmp", folder / "counts"
    for each in (scratch, counts):
        each.mkdir()

    stream = {
        "stall_timeout": "1500ms",
        "first_event_timeout": "1s",
        "reconnect": "100ms",
        "max_reconnect": "500ms",
    }
    plugins = (
        PluginSpec("scratch", instance=Scratch(scratch, ledger)),
        PluginSpec("regex-port"),
        PluginSpec("sse-health", options=stream),
        PluginSpec("log-rotation", options={"max_size": "1 MiB", "keep": 10_000}),
        PluginSpec("env-sanitizer"),
    )
    law = RestartPolicy(max_restarts=1_000_000, initial_delay=0.01, max_delay=0.2, start_retries=5)
    return [
        ServerSpec(
            name=f"s{number}",
            command=(sys.executable, "-I", "-S", str(CHILD), str(counts), "${server.port}"),
            cwd=folder,
            restart=law,
            force_kill_timeout=1.0,
            memory_interval=1.0,
            plugins=plugins,
        )
        for number in range(count)
    ]


# -- faults ----------------------------------------------------------------------------------------


def sends(number: int) -> Callable[[Server], Awaitable[None]]:
    async def send(server: Server) -> None:
        if server.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(server.pid, number)

    return send


async def restart(server: Server) -> None:
    await server.restart()


async def restart_twice(server: Server) -> None:
    await asyncio.gather(server.restart(), server.restart(generation=server.generation))


async def stop_and_start(server: Server) -> None:
    await server.stop()
    await server.start()


async def force_and_start(server: Server) -> None:
    await asyncio.gather(server.stop(force=True), server.start(), return_exceptions=True)
    await server.start()


FAULTS: dict[str, Callable[[Server], Awaitable[None]]] = {
    "SIGKILL": sends(signal.SIGKILL),
    "SIGSTOP": sends(signal.SIGSTOP),
    "exit code 3": sends(signal.SIGINT),
    "streams closed": sends(signal.SIGUSR2),
    "flood": sends(signal.SIGUSR1),
    "restart": restart,
    "restart twice": restart_twice,
    "stop, start": stop_and_start,
    "force stop, start": force_and_start,
}


async def strike(server: Server, name: str, ledger: Ledger) -> None:
    """One fault; an error of hostler's own is an answer, anything else is not."""
    ledger.faults[name] += 1
    try:
        async with asyncio.timeout(PATIENCE):
            await FAULTS[name](server)
    except ServerError as error:
        ledger.answers[type(error).__name__] += 1
    except TimeoutError:
        ledger.hung.append(f"{name} of {server.name} did not return within {PATIENCE:g} s")


async def bad_luck(supervisor: Supervisor, seconds: float, ledger: Ledger, chance: random.Random) -> None:
    """Fault after fault; a sample in each pause."""
    ends = time.monotonic() + seconds
    ledger.samples.append(await quiet(supervisor, ledger))
    pause = time.monotonic() + PAUSE_EVERY / 2

    while (now := time.monotonic()) < ends:
        if now >= pause:
            ledger.samples.append(await quiet(supervisor, ledger))
            pause = time.monotonic() + min(PAUSE_EVERY, seconds / 6)
        name = chance.choice([*supervisor])
        ledger.open(strike(supervisor[name], chance.choice([*FAULTS]), ledger))
        await asyncio.sleep(chance.uniform(0.2, 1.6))

    ledger.samples.append(await quiet(supervisor, ledger))


async def quiet(supervisor: Supervisor, ledger: Ledger) -> Sample:
    """When every command has returned and every server is ready."""
    await ledger.close()

    for name in supervisor:
        server = supervisor[name]
        try:
            if server.is_settled():
                await server.start()
            await server.wait_ready(PATIENCE)
        except ServerError as error:
            ledger.hung.append(f"{name} did not get ready again: {error}")

    await asyncio.sleep(1.0)  # what is late (a stalled stream that is about to be noticed) shows now
    return look(ledger.began)


# -- the whole -------------------------------------------------------------------------------------


async def soak(folder: Path, given: argparse.Namespace, ledger: Ledger) -> None:
    directories = Directories(folder / "state", folder / "data", folder / "cache")
    environ = {**os.environ, SECRET: "hunter2-zebra-crossing"}
    ledger.before = look(ledger.began)

    async with Supervisor(
        specs(given.servers, folder, ledger), directories=directories, environ=environ
    ) as all_of_them:
        all_of_them.listen(ledger.hear)
        await bad_luck(all_of_them, given.seconds, ledger, random.Random(given.seed))

    await asyncio.sleep(0.2)
    ledger.after = look(ledger.began)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--quick", action="store_true", help="15 seconds")
    parser.add_argument("--servers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    given = parser.parse_args()
    given.seconds = 15.0 if given.quick else given.minutes * 60
    forget_ignored_signals()
    folder = Path(tempfile.mkdtemp(prefix="hostler-soak-"))
    ledger = Ledger()
    try:
        asyncio.run(soak(folder, given, ledger))
        found = rows(ledger, folder, lost_lines(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)

    print(f"{given.seconds:g} s, {given.servers} servers, seed {given.seed}")
    print(f"faults: {_counted(ledger.faults)}; answers of hostler: {_counted(ledger.answers) or 'none'}")
    print(f"events: {_counted(ledger.events)}")
    print(f"MiB in each pause: {' '.join(f'{sample.rss:.1f}' for sample in ledger.samples)}\n")
    print(as_table(found))

    for line in ledger.hung:
        print(line)

    return int(bool(ledger.hung) or any(row.met is False for row in found))


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counter.items()))


if __name__ == "__main__":
    sys.exit(main())
