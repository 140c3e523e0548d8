"""server.run_command and server.command_env: commands of plugins, and what is left of them: nothing."""

from __future__ import annotations

import os
import pwd
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from hostler import (
    CommandResult,
    Confinement,
    Directories,
    Launch,
    PluginSpec,
    ProcessSpawnFailed,
    Server,
    ServerError,
    ServerSpec,
    Supervisor,
)
from hostler.launching.server_user import is_ours
from specs import MakeSpec

SECRET = "sk-0123456789abcdef"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", code)


@asynccontextmanager
async def sleeping(directories: Directories, **fields: Any) -> AsyncIterator[Server]:
    """A server that does nothing."""
    spec = ServerSpec(name="idle", command=("sleep", "60"), port=None, **fields)
    async with Supervisor(
        spec, directories=directories, environ={"PATH": os.environ["PATH"], "API_TOKEN": SECRET}
    ) as supervisor:
        await supervisor["idle"].wait_ready(10)
        yield supervisor["idle"]


async def test_its_end_and_its_output_are_told(directories: Directories, tmp_path: Path) -> None:
    async with sleeping(directories, cwd=tmp_path) as server:
        code = "import os, sys; print(os.getcwd()); print('oh', file=sys.stderr); sys.exit(3)"
        result = await server.run_command(python(code), timeout=10)
        assert result == CommandResult(3, None, f"{tmp_path}\n", "oh\n")
        assert result.last_line == "oh"
        killed = await server.run_command(python("import os; os.kill(os.getpid(), 15)"), timeout=10)
        assert (killed.code, killed.signal, killed.last_line) == (None, 15, "")


async def test_only_the_end_of_much_output_is_kept(directories: Directories) -> None:
    async with sleeping(directories) as server:
        result = await server.run_command(python("print('x' * 10_000_000); print('end')"), timeout=30)
    assert len(result.stdout) == 64 * 1024
    assert result.last_line == "end"


async def test_its_environment_is_safe_and_knows_the_server(
    make_spec: MakeSpec, directories: Directories
) -> None:
    environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "API_TOKEN": SECRET, "EDITOR": "vi"}
    async with Supervisor(make_spec(), directories=directories, environ=environ) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        assert server.endpoint is not None
        server._engine.publish("FAKE_SERVER", "${server.url}/x")
        assert server.command_env() == {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "FAKE_SERVER": f"{server.url}/x",
            "HOSTLER_SERVER": "fake",
            "HOSTLER_STATE": "running",
            "HOSTLER_PID": str(server.pid),
            "HOSTLER_URL": str(server.url),
            "HOSTLER_HOST": "127.0.0.1",
            "HOSTLER_PORT": str(server.endpoint.port),
        }


async def test_its_output_is_masked(directories: Directories) -> None:
    async with sleeping(directories) as server:
        server._engine.redact(SECRET)
        result = await server.run_command(("echo", SECRET), timeout=10)
    assert result.stdout == "********\n"


async def test_over_its_time_it_is_killed_with_all_that_escaped(
    directories: Directories, marked: Callable[[str], list[int]]
) -> None:
    code = (
        "import os, time; os.fork() or (os.setsid(), os.fork() and os._exit(0)); time.sleep(60)  # a runaway"
    )

    async with sleeping(directories) as server:
        began = time.monotonic()
        result = await server.run_command(python(code), timeout=0.5)
        assert time.monotonic() - began < 5
        assert (result.code, result.signal) == (None, None)
        assert not marked("# a runaway")
        assert server.members() == [server.pid]


async def test_cancelled_twice_it_is_gone_all_the_same(
    directories: Directories, marked: Callable[[str], list[int]]
) -> None:
    import asyncio

    async with sleeping(directories) as server:
        code = "import time; time.sleep(60)  # to be cancelled"
        task = asyncio.create_task(server.run_command(python(code), timeout=50))
        with anyio.fail_after(10):
            while not marked("# to be cancelled"):  # noqa: ASYNC110
                await anyio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=10)
        assert task.cancelled()
        assert not marked("# to be cancelled")


async def test_it_is_part_of_the_servers_tree_and_ends_with_it(
    directories: Directories, marked: Callable[[str], list[int]]
) -> None:
    async with sleeping(directories) as server, anyio.create_task_group() as tasks:
        code = "import time; time.sleep(60)  # a part"
        results = []

        async def run() -> None:
            results.append(await server.run_command(python(code), timeout=50))

        tasks.start_soon(run)
        with anyio.fail_after(10):
            while not marked("# a part"):  # noqa: ASYNC110
                await anyio.sleep(0.01)
        assert set(server.members()) >= set(marked("# a part"))
        await server.stop()
        assert not marked("# a part")

    assert [result.signal for result in results] == [15]


@needs_root
async def test_it_runs_as_the_user_of_the_server_in_its_groups_and_with_its_umask(
    directories: Directories,
) -> None:
    options = {"user": "nobody", "group": "12344", "groups": ["12345"], "umask": "027"}
    plugins = (PluginSpec("privileges", options),)
    async with sleeping(directories, plugins=plugins, cwd=Path("/")) as server:
        result = await server.run_command(("sh", "-c", "id -u; id -G; umask"), timeout=10)
    assert result.stdout == f"{pwd.getpwnam('nobody').pw_uid}\n12344 12345\n0027\n"


def test_what_the_server_may_write_in_its_sandbox_is_not_believed_with_our_own_rights(tmp_path: Path) -> None:
    class Box:
        def may_write(self, path: Path) -> bool:
            return path.is_relative_to(tmp_path / "open")

    given: dict[str, Any] = {"server": "web", "generation": 1, "argv": ["x"], "env": {}, "cwd": tmp_path}
    given |= {"host": "127.0.0.1", "port": None, "data_dir": tmp_path, "cache_dir": tmp_path}
    launch = Launch(**given)
    assert is_ours(launch, tmp_path / "open" / "program")
    launch.confinement = cast("Confinement", Box())
    assert not is_ours(launch, tmp_path / "open" / "program")
    assert is_ours(launch, tmp_path / "closed" / "program")


async def test_a_program_that_is_not_there_is_an_error(directories: Directories) -> None:
    async with sleeping(directories) as server:
        with pytest.raises(ProcessSpawnFailed, match="no-such-program"):
            await server.run_command(("no-such-program",), timeout=10)


async def test_before_a_start_there_is_nothing_to_run_it_for(directories: Directories) -> None:
    spec = ServerSpec(name="idle", command=("sleep", "60"), port=None, autostart=False)
    async with Supervisor(spec, directories=directories) as supervisor:
        assert supervisor["idle"].members() == []
        with pytest.raises(ServerError, match="no command can run"):
            await supervisor["idle"].run_command(("true",), timeout=10)
