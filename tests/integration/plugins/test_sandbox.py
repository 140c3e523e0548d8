"""sandbox for real: what a server under bubblewrap can see, write and leave behind."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import control_groups
import psutil
import pytest
from bubblewrap import needs_bwrap
from hostler import (
    Directories,
    Launch,
    PluginSpec,
    ServerSpec,
    Supervisor,
    hookimpl,
    private_folder,
)
from hostler.model.choices import IdentityCheck
from sandboxed_servers import a_script, folder, owned, refusal, running
from servers import OF_PYTHON

__all__ = ["folder"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may run a server as another user")
USERS = [None, pytest.param("nobody", marks=needs_root)]


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@needs_bwrap
@pytest.mark.parametrize("user", USERS)
async def test_a_server_writes_where_it_may_and_nowhere_else(
    user: str | None, folder: Path, directories: Directories
) -> None:
    more = folder / "more" / "deep"
    owned(folder / "more", user)
    script = f"""
    for place in "$PWD" "$TMPDIR" /tmp {more} /dev/shm; do
        echo x > "$place/written" && echo "yes $place"
    done
    for place in "$HOME" {folder} / /etc /var/tmp /usr/bin /sys /proc/sys/kernel /run; do
        (echo x > "$place/written") 2>/dev/null || echo "no $place"
    done
    (echo 1 > /proc/sys/vm/drop_caches) 2>/dev/null || echo "no kernel"
    rm -f /etc/hostname 2>/dev/null || echo "no removal"
    echo end; sleep 300
    """
    spec = a_script(folder, script, user=user, writable=[str(more)])
    async with running(spec, directories) as (_, said):
        yes = [line.removeprefix("yes ") for line in said if line.startswith("yes")]
        no = [line.removeprefix("no ") for line in said if line.startswith("no")]
        assert yes == [str(folder / "work"), "/tmp", "/tmp", str(more), "/dev/shm"]
        assert set(no) >= {
            "/",
            "/etc",
            "/var/tmp",
            "/usr/bin",
            "/sys",
            str(folder),
            str(folder / "home"),
            "kernel",
        }
        assert len(no) == 11
        assert (folder / "work" / "written").exists()
        assert (more / "written").exists()
        assert "written" not in names_in(Path("/tmp"))


@needs_bwrap
@pytest.mark.parametrize("user", USERS)
async def test_a_server_has_no_capability_and_sees_no_process_but_its_own(
    user: str | None, folder: Path, directories: Directories
) -> None:
    script = """
    grep -E "^(Cap(Eff|Prm|Inh|Amb)|NoNewPrivs|Uid)" /proc/self/status
    ls -d /proc/[0-9]*; echo end; sleep 300
    """
    async with running(a_script(folder, script, user=user), directories) as (server, said):
        status = dict(line.split(":") for line in said if ":" in line)
        assert {int(status[name], 16) for name in status if name.startswith("Cap")} == {0}
        assert status["NoNewPrivs"].strip() == "1"
        assert status["Uid"].split()[0] == (str(os.geteuid()) if user is None else "65534")
        assert len([line for line in said if line.startswith("/proc")]) <= 5
        assert {"bwrap", "sh"} <= {psutil.Process(pid).name() for pid in server.members()}


@needs_bwrap
@needs_root
@pytest.mark.parametrize(("kept", "mask"), [([], 0), (["net_bind_service"], 1 << 10)])
async def test_of_the_capabilities_of_root_those_are_kept_that_are_asked_for(
    kept: list[str], mask: int, folder: Path, directories: Directories
) -> None:
    spec = a_script(folder, "grep -E '^Cap(Eff|Prm)' /proc/self/status; echo end; sleep 300")
    plugins = (*spec.plugins, PluginSpec("privileges", {"capabilities": kept}))
    async with running(replace(spec, plugins=plugins), directories) as (_, said):
        assert [int(line.split()[1], 16) for line in said] == [mask, mask]


@needs_bwrap
@needs_root
async def test_another_user_keeps_no_capabilities_in_a_sandbox(
    folder: Path, directories: Directories
) -> None:
    spec = a_script(folder, "true")
    options = {"user": "nobody", "capabilities": ["net_bind_service"]}
    error = await refusal(
        replace(spec, plugins=(*spec.plugins, PluginSpec("privileges", options))), directories
    )
    assert "in a sandbox only root can keep capabilities: net_bind_service" in error.message


@needs_bwrap
@pytest.mark.parametrize("user", USERS)
async def test_what_is_hidden_is_not_there_and_the_innermost_word_counts(
    user: str | None, folder: Path, directories: Directories
) -> None:
    home = owned(folder / "home", user)

    for name in (".ssh/id", ".aws/key", ".docker/a/file", ".docker/b/file"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("secret")
        (home / name).chmod(0o644)

    (home / ".netrc").write_text("secret")
    script = """
    cd ~
    for one in .ssh/id .aws/key .netrc .docker/a/file .docker/b/file; do
        cat $one 2>/dev/null && echo " $one"
    done
    (echo x > .ssh/new) 2>/dev/null || echo "no new"
    (echo x > .docker/b/new) && echo "new in b"
    (echo x > .docker/a/new) 2>/dev/null || echo "none in a"
    (echo x > other) && echo "home is mine"
    echo end; sleep 300
    """

    if user is not None:
        shutil.chown(home / ".docker" / "b", user)

    spec = a_script(folder, script, user=user, writable=["~", "~/.docker/b"], readable=["~/.docker/a"])
    async with running(spec, directories) as (_, said):
        assert said == [
            "secret .docker/a/file",
            "secret .docker/b/file",
            "no new",
            "new in b",
            "none in a",
            "home is mine",
        ]


@needs_bwrap
async def test_the_locks_of_hostler_cannot_be_held_by_a_server(folder: Path) -> None:
    directories = Directories(folder / "state", folder / "data", folder / "cache")
    script = f"ls {folder / 'state'}; echo end; sleep 300"
    async with running(a_script(folder, script), directories) as (_, said):
        assert list((folder / "state").iterdir())
        assert said == []


@needs_bwrap
@pytest.mark.parametrize("user", USERS)
async def test_nothing_that_it_starts_outlives_it(
    user: str | None, folder: Path, directories: Directories
) -> None:
    script = control_groups.ESCAPES.replace("echo \\$\\$;", "echo up; echo end;")
    async with running(a_script(folder, script, user=user), directories) as (server, _):
        await until(lambda: len(sleepers("301.5")) == 1)
        (escaped,) = sleepers("301.5")
        assert escaped in server.members()
    assert sleepers("301.5") == []


def sleepers(seconds: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cmdline() == ["sleep", seconds]:
                found.append(process.pid)
    return found


@needs_bwrap
@pytest.mark.parametrize("user", USERS)
async def test_it_is_told_to_end_and_has_its_time_to_do_so(
    user: str | None, folder: Path, directories: Directories
) -> None:
    script = "trap 'sleep 0.3; echo bye > told; exit 0' TERM; echo end; while :; do sleep 0.05; done"
    async with running(a_script(folder, script, user=user), directories) as (server, _):
        began = time.monotonic()
        await server.stop()
        assert 0.3 <= time.monotonic() - began < 4
        assert (folder / "work" / "told").read_text() == "bye\n"


@needs_bwrap
async def test_a_server_that_does_not_obey_is_killed_with_all_that_it_started(
    folder: Path, directories: Directories
) -> None:
    spec = a_script(folder, "trap '' TERM; sleep 301.7 & echo end; sleep 301.7; sleep 301.7")
    async with running(replace(spec, force_kill_timeout=0.3), directories) as (server, _):
        await until(lambda: len(sleepers("301.7")) == 2)
        await server.stop()
        assert sleepers("301.7") == []


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - not everything that is waited for here is an event
            await anyio.sleep(0.01)


@needs_bwrap
@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -9 $$$$", 137), ("kill -TERM $$$$", 143)])
async def test_its_end_is_told_as_an_exit_code(
    script: str, code: int, folder: Path, directories: Directories
) -> None:
    async with Supervisor(a_script(folder, script), directories=directories) as supervisor:
        server = supervisor["boxed"]
        await until(lambda: server.crashes)
        assert server.crashes[0].code == code


@needs_bwrap
async def test_loopback_works_and_the_server_is_known_as_the_one_that_listens(
    folder: Path, directories: Directories, make_spec: Callable[..., ServerSpec]
) -> None:
    (folder / "work").mkdir()
    fake = make_spec()
    spec = make_spec(
        plugins=(*fake.plugins, PluginSpec("sandbox", {"readable": OF_PYTHON}), PluginSpec("sse-health")),
        cwd=folder / "work",
        identity=IdentityCheck.REQUIRE,
    )
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(30)
        assert server.health == "healthy"
        assert len(server.members()) == 3
        assert server.memory > 5_000_000


@needs_bwrap
async def test_a_configured_tmpdir_and_what_other_plugins_made_for_the_run_can_be_written(
    folder: Path, directories: Directories
) -> None:
    made = owned(folder / "tmpdir", None)
    script = 'for one in "$TMPDIR" /tmp; do echo x > "$one/written" && echo "$one"; done; echo end; sleep 300'
    async with running(a_script(folder, script, env={"TMPDIR": str(made)}), directories) as (_, said):
        assert said == [str(made), "/tmp"]


@needs_bwrap
async def test_a_launcher_says_what_its_server_needs_and_it_is_made_for_it(
    folder: Path, directories: Directories
) -> None:
    @dataclass(eq=False)
    class Launcher:
        @hookimpl
        async def pre_spawn(self, launch: Launch) -> None:
            launch.facts["writable_paths"] = [folder / "needed" / "deep"]

    spec = a_script(folder, f"echo x > {folder}/needed/deep/written && echo yes; echo end; sleep 300")
    plugins = (*spec.plugins, PluginSpec("launcher", instance=Launcher()))
    async with running(replace(spec, plugins=plugins), directories) as (_, said):
        assert said == ["yes"]
        assert (folder / "needed" / "deep").stat().st_mode & 0o777 == 0o700


@needs_bwrap
async def test_the_tmpdir_that_a_launcher_made_for_the_run_stays(
    folder: Path, directories: Directories
) -> None:
    made: list[Path] = []

    @dataclass(eq=False)
    class Launcher:
        @hookimpl
        async def pre_spawn(self, launch: Launch) -> None:
            made.append(private_folder(launch, "test"))
            launch.env["TMPDIR"] = str(made[-1])

    spec = a_script(folder, 'echo x > "$TMPDIR/written" && echo "$TMPDIR"; echo end; sleep 300')
    plugins = (*spec.plugins, PluginSpec("launcher", instance=Launcher()))
    async with running(replace(spec, plugins=plugins), directories) as (server, said):
        assert said == [str(made[0])]
        assert (made[0] / "written").exists()
        await server.restart()
        await server.wait_ready(20)
        assert len(made) == 2
        assert not made[0].exists()

    assert not made[1].exists()
