"""What the sandbox cannot be made of, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from bubblewrap import needs_bwrap
from hostler import (
    Directories,
    EnvironmentSetupFailed,
    PluginSpec,
    ServerSpec,
    Supervisor,
)
from hostler.plugins.options import build
from sandboxed_servers import ONCE, a_script, folder, refusal, running

__all__ = ["folder"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may run a server as another user")


async def test_a_missing_bubblewrap_is_told_with_what_to_install(
    folder: Path, directories: Directories
) -> None:
    error = await refusal(a_script(folder, "true", bwrap="/no/such/bwrap"), directories)
    assert "/no/such/bwrap is not there" in error.message
    assert "the package bubblewrap" in error.context.hint
    plugin: Any = build(PluginSpec("sandbox", {"bwrap": "/no/such/bwrap"}))
    with pytest.raises(EnvironmentSetupFailed, match="/no/such/bwrap"):
        list(plugin.check(None, None))


@needs_bwrap
async def test_where_no_tmp_can_be_made_this_is_told(
    folder: Path, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostler.launching.tempdir._SHORT", "/proc")  # where nobody can make anything
    monkeypatch.setattr("tempfile.tempdir", "/proc")
    async with Supervisor(a_script(folder, "true"), directories=directories) as supervisor:
        with pytest.raises(EnvironmentSetupFailed, match="no temporary folder can be made for the sandbox"):
            await supervisor["boxed"].wait_ready(20)


@needs_bwrap
def test_check_finds_nothing_wrong_where_all_is_there(folder: Path) -> None:
    plugin: Any = build(PluginSpec("sandbox"))
    spec = a_script(folder, "true")
    assert list(plugin.check(spec, spec)) == []


@needs_bwrap
async def test_the_whole_system_as_working_folder_is_refused(folder: Path, directories: Directories) -> None:
    spec = ServerSpec(
        name="boxed",
        command=("/bin/true",),
        cwd=Path("/"),
        port=None,
        restart=ONCE,
        plugins=(PluginSpec("sandbox"),),
    )
    assert "the working folder is /" in (await refusal(spec, directories)).message
    allowed = ServerSpec(
        name="boxed",
        command=("/bin/sh", "-c", "pwd; (echo x > /written) 2>/dev/null || echo no; echo end; sleep 300"),
        cwd=Path("/"),
        port=None,
        restart=ONCE,
        plugins=(PluginSpec("sandbox", {"cwd": "read-only"}),),
    )
    async with running(allowed, directories) as (_, said):
        assert said == ["/", "no"]


@needs_bwrap
async def test_a_working_folder_can_be_read_only(folder: Path, directories: Directories) -> None:
    script = "(echo x > written) 2>/dev/null || echo no; echo end; sleep 300"
    async with running(a_script(folder, script, cwd="read-only"), directories) as (_, said):
        assert said == ["no"]


@needs_bwrap
@needs_root
async def test_a_folder_that_its_user_may_not_make_is_told(folder: Path, directories: Directories) -> None:
    closed = folder / "closed"
    closed.mkdir(0o700)
    error = await refusal(a_script(folder, "true", user="nobody", writable=[f"{closed}/mine"]), directories)
    assert "its folders cannot be made" in error.message
    assert f"'{closed}" in error.message


@needs_bwrap
async def test_a_link_that_the_server_planted_opens_nothing_at_the_next_start(
    folder: Path, directories: Directories
) -> None:
    spec = a_script(folder, "true", writable=[str(folder / "work" / "sub" / "deep")])
    (folder / "work" / "sub").symlink_to("/etc")
    error = await refusal(spec, directories)
    assert f"{folder / 'work' / 'sub'} is a link in a folder that the server may write to" in error.message


NO_NAMESPACES = 'echo 0 > /proc/sys/user/max_pid_namespaces && exec "$@"'


@needs_bwrap
def test_a_kernel_that_refuses_namespaces_is_told_in_words(folder: Path) -> None:
    argv = ["unshare", "--user", "--map-root-user", "sh", "-c", NO_NAMESPACES, "sh"]
    table: dict[str, object] = {"command": ["/bin/sleep", "300"], "cwd": str(folder), "port": False}
    table["plugins"] = {"sandbox": True}
    file = folder / "hostler.toml"
    file.write_text(tomli_w.dumps({"servers": {"boxed": table}}))
    own = {"HOME": str(folder / "home"), "PATH": os.environ["PATH"]}

    if subprocess.run([*argv, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a machine without user namespaces, where nothing can be forbidden in one")

    done = subprocess.run(
        [*argv, sys.executable, "-m", "hostler.cli", "run", str(file)],
        env=own,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "the kernel refuses a sandbox: bwrap: " in done.stderr + done.stdout
    assert "in a container allow them" in done.stderr + done.stdout
