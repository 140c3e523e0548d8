"""A server in a sandbox, and a file that hostler reads and that is replaced while the server runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from bubblewrap import folder_outside_tmp, needs_bwrap
from hostler import Directories, Notice, PluginSpec, RestartPolicy, ServerSpec, State, Supervisor, load
from hostler_process import HOSTLER, Hostler

pytestmark = needs_bwrap
TABLE = """
[servers.boxed]
command = ["/bin/sh", "server.sh"]
port = false
title = "TITLE"
plugins = { sandbox = true }
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_outside_tmp() as found:
        yield found


def configure(folder: Path, server: str, title: str = "one") -> Path:
    """A configuration in the folder where its server works."""
    (folder / "server.sh").write_text(server)
    file = folder / "hostler.toml"
    file.write_text(TABLE.replace("TITLE", title))
    return file


def replace(file: Path, text: str) -> None:
    """Save as editors do: into a new file that takes the place of the other one."""
    new = file.with_name("new")
    new.write_text(text)
    new.replace(file)


async def until(reached: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not reached():  # noqa: ASYNC110 - other processes tell nobody
            await anyio.sleep(0.02)


async def test_what_was_replaced_is_protected_again_by_a_restart_in_order(
    folder: Path, directories: Directories
) -> None:
    tries = "[ -e again ] && echo evil >> hostler.toml; touch began$(ls -d again); exec sleep 100"
    file = configure(folder, tries)
    seen: list[str] = []

    async with Supervisor(load(file), directories=directories) as supervisor:
        supervisor.listen(lambda event: seen.append(event.topic) if isinstance(event, Notice) else None)
        server = supervisor["boxed"]
        await until((folder / "began").exists)
        (folder / "again").mkdir()
        replace(file, file.read_text() + "# by its user\n")
        await until((folder / "beganagain").exists)
        assert file.read_text().endswith("# by its user\n")
        assert server.generation == 2
        assert server.crashes == ()
        assert "sandbox_replaced" in seen


def test_a_reload_refuses_what_the_server_could_write_until_its_user_has_looked_at_it(folder: Path) -> None:
    attack = (
        "echo began; while :; do grep -q two hostler.toml && echo '# evil' >> hostler.toml; sleep 0.3; done"
    )
    file = configure(folder, attack)
    environ = {**os.environ, "HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*HOSTLER, "run", "--debug"],
        cwd=folder,
        env=environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    hostler = Hostler(process)
    try:
        hostler.wait_for("began")
        wanted = TABLE.replace("TITLE", "two")
        replace(file, wanted)
        hostler.send(signal.SIGHUP)
        assert "could write it in its sandbox" in hostler.wait_for(
            "was replaced or made while the server boxed"
        )
        hostler.wait_for("reload failed")
        file.write_text(wanted)  # in place: it stays protected
        hostler.send(signal.SIGHUP)
        hostler.wait_for("title: one -> two")
        assert file.read_text() == wanted
    finally:
        hostler.send(signal.SIGTERM)
        hostler.end()
        process.communicate()  # closes its pipes


LEAVE_THE_NAMESPACE = """
import ctypes, os, platform
libc = ctypes.CDLL(None, use_errno=True)
uid, gid = os.getuid(), os.getgid()
folder = os.open(".", os.O_RDONLY)
flags = (ctypes.c_uint64 * 8)(0x10020000, 0, 0, 0, 17, 0, 0, 0)
child = libc.syscall(435, flags, 64)  # clone3

if child > 0:
    os.waitpid(child, 0)
elif child == 0 or libc.unshare(0x10020000) == 0:
    libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None)
    os.chdir("/tmp")
    libc.syscall(155 if platform.machine() == "x86_64" else 41, b".", b".")  # pivot_root
    libc.umount2(b".", 2)

try:
    os.rename("evil", "hostler.toml", src_dir_fd=folder, dst_dir_fd=folder)
except OSError as error:
    print("refused", flush=True)
"""


async def test_no_user_namespace_of_its_own_lets_a_server_replace_what_is_protected(
    folder: Path, directories: Directories
) -> None:
    (folder / "attack.py").write_text(LEAVE_THE_NAMESPACE)
    (folder / "evil").write_text("evil")
    file = configure(folder, f"{sys.executable} attack.py; touch done; exec sleep 100")
    async with Supervisor(load(file), directories=directories) as supervisor:
        await supervisor["boxed"].wait_ready(20)
        await until((folder / "done").exists)
        assert file.read_text() != "evil"


async def test_what_is_hidden_and_replaced_is_told(folder: Path, directories: Directories) -> None:
    key = folder / "key"
    key.write_text("one")
    spec = ServerSpec(
        name="boxed",
        command=("/bin/sh", "-c", "touch began; exec sleep 100"),
        cwd=folder,
        port=None,
        restart=RestartPolicy(max_restarts=0),
        plugins=(PluginSpec("sandbox", {"hidden": [str(key)]}),),
    )
    seen: list[str] = []

    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(lambda event: seen.append(event.topic) if isinstance(event, Notice) else None)
        await until((folder / "began").exists)
        replace(key, "two")
        await until(lambda: "sandbox_uncovered" in seen)
        assert supervisor["boxed"].state is State.RUNNING
        assert supervisor["boxed"].generation == 1
