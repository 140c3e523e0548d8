"""exec-health: commands as probes of a real server: what they see, how they end, and that nothing is left."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import psutil
import pytest
from children import lives
from hostler import (
    Directories,
    Event,
    HealthReported,
    PluginSpec,
    ServerCrashed,
    ServerSpec,
    StartupTimeout,
    State,
    Supervisor,
)
from hostler.plugins.options import build
from specs import MakeSpec, announced

SECRET = "sk-0123456789abcdef"


def probing(*command: str, **options: object) -> tuple[PluginSpec, PluginSpec]:
    """The plugins of a fake server that is asked by this command."""
    given = {"command": list(command), "interval": "50ms"} | options
    return announced(), PluginSpec("exec-health", given)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", code)


async def failed(spec: ServerSpec, directories: Directories) -> str:
    """Why a server that is never ready was given up."""
    spec = replace(spec, restart=replace(spec.restart, start_retries=0))
    async with Supervisor(spec, directories=directories) as supervisor:
        with pytest.raises((StartupTimeout, ServerCrashed)) as caught:
            await supervisor[spec.name].wait_ready(20)
    return caught.value.message


async def test_exit_code_0_is_healthy_and_the_command_knows_the_server(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path
) -> None:
    code = (
        "import os, json; json.dump([dict(os.environ), os.getcwd()], open('seen.new', 'w'));"
        "os.replace('seen.new', 'seen')"
    )
    environ = {"PATH": os.environ["PATH"], "HOME": "/home/ada", "API_TOKEN": SECRET}
    env = {"TOKEN": {"secret": "env:API_TOKEN"}, "PLAIN": "yes"}
    spec = make_spec(plugins=probing(*python(code), env=env))
    async with Supervisor(spec, directories=directories, environ=environ) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        assert server.endpoint is not None
        endpoint, pid = server.endpoint, server.pid

    seen, folder = json.loads((tmp_path / "seen").read_text())
    marks = seen.pop("HOSTLER_RUN_ID").split(":")
    assert len(marks) == 2, "it is a part of the server's tree, and can be told from it"
    assert seen == {
        "PATH": os.environ["PATH"],
        "HOME": "/home/ada",
        "TOKEN": SECRET,
        "PLAIN": "yes",
        "HOSTLER_SERVER": "fake",
        "HOSTLER_STATE": "waiting_ready",
        "HOSTLER_PID": str(pid),
        "HOSTLER_URL": endpoint.url,
        "HOSTLER_HOST": "127.0.0.1",
        "HOSTLER_PORT": str(endpoint.port),
    } | {name: seen[name] for name in ("LC_CTYPE",) if name in seen}
    assert folder == str(tmp_path)


async def test_the_port_can_stand_in_the_command(make_spec: MakeSpec, directories: Directories) -> None:
    code = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1]))).close()"
    spec = make_spec(plugins=probing(*python(code), "${server.port}"))
    async with Supervisor(spec, directories=directories) as supervisor:
        await supervisor["fake"].wait_ready(10)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('all is well'); raise SystemExit('the disk is full')", "exit code 1: the disk is full"),
        ("print('one'); print('two', end='  \\n\\n'); raise SystemExit(3)", "exit code 3: two"),
        ("raise SystemExit(7)", "exit code 7"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
        ("print('x' * 100000); raise SystemExit(1)", "exit code 1: " + "x" * 500),
    ],
)
async def test_another_end_is_a_failure_with_its_last_line(
    make_spec: MakeSpec, directories: Directories, code: str, reason: str
) -> None:
    spec = make_spec(plugins=probing(*python(code)), startup_timeout=1.0)
    assert (await failed(spec, directories)).endswith(f"exec-health: {sys.executable}: {reason}")


async def test_a_secret_in_the_last_line_is_masked(make_spec: MakeSpec, directories: Directories) -> None:
    env = {"TOKEN": {"secret": "env:API_TOKEN"}}
    plugins = probing(
        *python("import os; raise SystemExit('no access with ' + os.environ['TOKEN'])"), env=env
    )
    events: list[Event] = []

    async with Supervisor(
        make_spec(plugins=plugins), directories=directories, environ={"API_TOKEN": SECRET, **os.environ}
    ) as supervisor:
        supervisor.listen(events.append)
        with anyio.fail_after(10):
            while not any(isinstance(event, HealthReported) for event in events):  # noqa: ASYNC110
                await anyio.sleep(0.02)

    assert SECRET not in repr(events)
    assert "no access with ********" in repr(events)


async def test_a_command_over_its_time_is_ended_with_all_that_it_started(
    make_spec: MakeSpec, directories: Directories, marked: Callable[[str], list[int]], tmp_path: Path
) -> None:
    escaping = (
        "import os, time; os.fork() or (os.setsid(), os.fork() and os._exit(0));"
        f"open(f'{tmp_path}/pid-{{os.getpid()}}', 'w').close(); time.sleep(60)"
    )
    spec = make_spec(plugins=probing(*python(escaping), timeout="1s"), startup_timeout=30.0)
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        events = server.events()
        with anyio.fail_after(15):
            said = await anext(event.reason async for event in events if isinstance(event, HealthReported))
        assert said == f"{sys.executable}: no result within 1 s"
        pids = pids_in(tmp_path)
        assert len(pids) >= 2
        young = time.time() - 0.5  # the next attempt may have begun
        assert not [pid for pid in pids if lives(pid) and started_before(pid, young)]
        assert server.state is State.WAITING_READY


def pids_in(folder: Path) -> list[int]:
    return [int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")]


def started_before(pid: int, when: float) -> bool:
    try:
        return psutil.Process(pid).create_time() < when
    except psutil.NoSuchProcess:
        return False


async def test_a_stop_while_the_command_runs_ends_it_at_once(
    make_spec: MakeSpec, directories: Directories, marked: Callable[[str], list[int]]
) -> None:
    code = "import time; time.sleep(60)  # a probe that hangs"
    spec = make_spec(plugins=probing(*python(code), timeout="50s"), startup_timeout=200.0)
    async with Supervisor(spec, directories=directories) as supervisor:
        with anyio.fail_after(10):
            while not marked("a probe that hangs"):  # noqa: ASYNC110 - nobody tells of a probe
                await anyio.sleep(0.02)
        began = time.monotonic()
        await supervisor["fake"].stop()
        assert time.monotonic() - began < 3

    assert not marked("a probe that hangs")


async def test_what_a_good_command_leaves_in_the_background_is_ended(
    make_spec: MakeSpec, directories: Directories, marked: Callable[[str], list[int]]
) -> None:
    code = (
        "import subprocess, sys;"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)  # left behind'])"
    )
    async with Supervisor(
        make_spec(plugins=probing(*python(code), interval="1h")), directories=directories
    ) as supervisor:
        await supervisor["fake"].wait_ready(10)
        assert not marked("# left behind")


async def test_failures_in_a_row_are_a_crash(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    plugins = probing("test", "!", "-e", str(broken), failures=2)
    async with Supervisor(make_spec(plugins=plugins), directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        broken.touch()
        with anyio.fail_after(10):
            await server.until(lambda: bool(server.crashes))
        broken.unlink()
        await server.wait_ready(10)
        assert server.crashes[0].reason.endswith("exec-health: test: exit code 1 (2 times in a row)")


async def test_a_program_that_is_not_there_fails_for_good(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec(plugins=probing("no-such-probe")), directories=directories) as supervisor:
        server = supervisor["fake"]
        with anyio.fail_after(10):
            await server.until(lambda: server.state is State.FAILED)
        assert server.generation == 1, "no restart can help"
        assert "no-such-probe" in str(server.error)


async def test_a_worker_without_a_port_is_asked_too(make_spec: MakeSpec, directories: Directories) -> None:
    spec = ServerSpec(name="worker", command=("sleep", "60"), port=None, plugins=probing("true")[1:])
    async with Supervisor(spec, directories=directories) as supervisor:
        await supervisor["worker"].wait_ready(10)


def test_no_variable_is_in_its_repr() -> None:
    plugin = build(PluginSpec("exec-health", {"command": ["x"], "env": {"TOKEN": SECRET}}))
    assert SECRET not in repr(plugin)
