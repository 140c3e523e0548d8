"""A server in a sandbox: nothing that it can write is run or believed outside, now or at the next start."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from bubblewrap import needs_bwrap
from hostler import Directories, EnvFile, Notice, PluginSpec, ServerError, Supervisor, load
from hostler_plugins.opencode import VERSION
from hostler_plugins.opencode.platforms import package_names
from hostler_plugins.sandbox.paths import Access, Place, may_write
from sandboxed_projects import boxed, folder, notices, run_to_exit, seen

__all__ = ["folder", "seen"]

pytestmark = needs_bwrap
PYTHON_PLUGIN = """
from dataclasses import dataclass
from hostler import hookimpl

@dataclass(eq=False)
class Mine:
    @hookimpl
    async def on_ready(self):
        pass
"""


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def planted(folder: Path) -> None:
    """An opencode that the server left in its working folder, and that leaves a trace wherever it is run."""
    told = f"touch {folder}/outside; touch {folder}/project/ran; [ $1 = --version ] && echo 1.18.33; exit 0"
    program(folder / "project" / "node_modules" / ".bin" / "opencode", told)


async def test_a_program_that_the_server_left_is_run_in_the_sandbox_alone(
    folder: Path, directories: Directories, seen: list[Notice]
) -> None:
    planted(folder)
    await run_to_exit(boxed(folder, PluginSpec("opencode", {})), directories, seen)
    assert (folder / "project" / "ran").exists()
    assert not (folder / "outside").exists()


async def test_a_program_that_the_server_left_is_not_preferred_to_the_installed_one(
    folder: Path, directories: Directories, seen: list[Notice]
) -> None:
    planted(folder)
    installed = directories.cache / "opencode" / f"{package_names()[0]}@{VERSION}" / "bin" / "opencode"
    cached = Directories(directories.state, directories.data, folder / "cache")
    program(cached.cache / installed.relative_to(directories.cache), "touch right")
    await run_to_exit(boxed(folder, PluginSpec("opencode", {"install": "if-missing"})), cached, seen)
    assert (folder / "project" / "right").exists()
    assert not (folder / "project" / "ran").exists()


ATTACK = """
for file in hostler.toml conf/base.toml conf/vars conf/secret plugins/mine.py; do
    echo evil > $file; rm -f $file; mv $file moved; touch new; mv new $file
    ln -sf /etc/passwd $file
done
mv conf elsewhere; mv plugins elsewhere2; mkdir -p conf
echo x > allowed; echo x > conf/allowed
exit 0
"""
CONFIGURATION = """
extends = ["conf/base.toml"]

[servers.boxed]
command = ["/bin/sh", "attack.sh"]
restart = { policy = "never", start_retries = 0, max_restarts = 0 }
env_file = ["conf/vars"]
env = { HOME = "HOME_FOLDER", KEY = { secret = "file:conf/secret" } }
plugins = { mine = { use = "plugins/mine.py:Mine" }, sandbox = true }
"""


async def test_what_hostler_reads_at_the_next_start_cannot_be_changed_moved_or_replaced(
    folder: Path, directories: Directories, seen: list[Notice]
) -> None:
    work = folder / "project"
    files = {
        "hostler.toml": CONFIGURATION.replace("HOME_FOLDER", str(folder / "home")),
        "conf/base.toml": "[servers.boxed]\nport = false\n",
        "conf/vars": "A=1\n",
        "conf/secret": "a-secret-in-a-file",
        "plugins/mine.py": PYTHON_PLUGIN,
    }
    for name, text in {**files, "attack.sh": ATTACK}.items():
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(text)

    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder / "home")}
    async with Supervisor(
        load(work / "hostler.toml"), directories=directories, environ=environ
    ) as supervisor:
        supervisor.listen(notices(seen))
        with anyio.fail_after(30):
            await supervisor.wait()

    assert {name: (work / name).read_text() for name in files} == files
    assert not any((work / name).is_symlink() for name in files)
    assert (work / "allowed").exists()
    assert (work / "conf" / "allowed").exists()
    told = {notice.topic: notice.text for notice in seen}
    assert "hostler.toml" in told["sandbox_read_only"]
    assert "reads or runs it at its next start" in told["sandbox_refused"]


async def test_a_configuration_that_is_a_link_the_server_could_change_is_refused(
    folder: Path, directories: Directories
) -> None:
    (folder / "vars").write_text("A=1\n")
    (folder / "project" / "vars").symlink_to(folder / "vars")
    spec = replace(boxed(folder, command=("/bin/true",)), env_file=(EnvFile(folder / "project" / "vars"),))
    with pytest.raises(ServerError, match="is a link in a folder that the server may write to"):
        await run_to_exit(spec, directories, [])


async def test_what_hostler_imports_from_cannot_be_written(
    folder: Path, directories: Directories, seen: list[Notice], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "project" / "site").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder / "project" / "site")])
    script = "touch site/evil.py; mv site other; mkdir site; touch site/evil.py; touch done"
    await run_to_exit(boxed(folder, command=("/bin/sh", "-c", script)), directories, seen)
    assert (folder / "project" / "done").exists()
    assert list((folder / "project" / "site").iterdir()) == []


async def test_commands_and_health_commands_run_in_the_sandbox_of_the_server(
    folder: Path, directories: Directories, seen: list[Notice]
) -> None:
    left = str(
        program(folder / "project" / "left", f"touch {folder}/outside; touch {folder}/project/$1; exit 0")
    )
    health = PluginSpec("exec-health", {"command": [left, "health"]})
    commands = PluginSpec("commands", {"pre_spawn": [left, "before"], "on_shutdown": [left, "stop"]})
    spec = boxed(folder, health, commands, command=("/bin/sleep", "100"))
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder / "home")}
    async with Supervisor(spec, directories=directories, environ=environ) as supervisor:
        await supervisor["boxed"].wait_ready(20)

    there = {path.name for path in (folder / "project").iterdir()}
    assert there >= {"before", "health", "stop"}
    assert not (folder / "outside").exists()


async def test_a_password_that_the_server_linked_to_what_it_may_not_see_is_not_handed_to_it(
    folder: Path, directories: Directories, seen: list[Notice]
) -> None:
    (folder / "home" / ".ssh").mkdir()
    (folder / "home" / ".ssh" / "key").write_text("the-key-of-the-user")
    state = folder / "home" / ".local" / "state" / "opencode"
    state.mkdir(parents=True)
    (state / "password").symlink_to(folder / "home" / ".ssh" / "key")
    told = "[ $1 = --version ] && echo 2.0.1 && exit; echo $OPENCODE_SERVER_PASSWORD > got"
    binary = program(folder / "opencode", told)

    with pytest.raises(ServerError, match="password file"):
        await run_to_exit(boxed(folder, PluginSpec("opencode", {"binary": str(binary)})), directories, seen)

    assert not (folder / "project" / "got").exists()


async def test_dependencies_of_a_checkout_are_installed_in_the_sandbox(
    folder: Path, directories: Directories, seen: list[Notice]
) -> None:
    package = folder / "project" / "packages" / "opencode"
    (package / "src").mkdir(parents=True)
    (package / "src" / "index.ts").touch()
    (package / "package.json").write_text('{"version": "1.18.33", "dependencies": {"greeting": "1.0.0"}}')
    bun = program(folder / "bun", f"touch {folder}/outside; touch {folder}/project/$1; exit 0")
    spec = boxed(folder, PluginSpec("opencode", {"source": str(folder / "project"), "bun": str(bun)}))
    await run_to_exit(spec, directories, seen)
    assert (folder / "project" / "install").exists()
    assert not (folder / "outside").exists()


def test_a_link_on_the_way_that_the_server_could_change_counts_as_writable(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "tool").touch()
    (tmp_path / "project" / "link").symlink_to(tmp_path / "tool")
    (tmp_path / "bin").symlink_to(tmp_path / "project" / "link")
    places = [Place(tmp_path / "project", Access.WRITE), Place(tmp_path / "project" / "kept", Access.READ)]
    assert may_write(tmp_path / "bin", places)
    assert may_write(tmp_path / "project" / "new", places)
    assert not may_write(tmp_path / "tool", places)
    assert not may_write(tmp_path / "project" / "kept", places)
