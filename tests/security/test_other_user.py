"""hostler as root for another user: nothing that this user can write is run, followed or read as root."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from bubblewrap import folder_outside_tmp
from hostler import (
    Directories,
    EnvFile,
    EnvironmentSetupFailed,
    PluginSpec,
    RestartPolicy,
    Secret,
    ServerError,
    ServerSpec,
    Supervisor,
)
from hostler.config.preflight.inspector import Inspector
from hostler.launching.env_file import read_env_file
from hostler.model.spec import Configuration
from hostler_plugins.opencode import VERSION
from hostler_plugins.opencode import install as installing
from http_pages import certificate

__all__ = ["certificate"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may run a server as another user")

UID, STRANGER = 2002, 2001
ONLY_ROOT = "ROOT_ONLY=the-secret-of-root"
ONCE = RestartPolicy(start_retries=0, max_restarts=0)
OPENCODE = """#!/bin/sh
if [ "$1" = --version ]; then { id -u; grep CapEff /proc/self/status; } > "$HOME/asked"; echo 2.0.1; exit; fi
echo "$OPENCODE_SERVER_PASSWORD" > "$HOME/got"
sleep 100
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may enter: "home" belongs to the other user, "root" to root alone."""
    with folder_outside_tmp() as found:
        owned(found / "home", UID)
        (found / "root").mkdir(mode=0o700)
        (found / "root" / "secret").write_text(ONLY_ROOT)
        (found / "root" / "secret").chmod(0o600)
        yield found


def owned(path: Path, uid: int) -> Path:
    path.mkdir(parents=True)
    os.chown(path, uid, uid)
    return path


def all_owned(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, UID, UID, follow_symlinks=False)


def of_the_user(
    folder: Path, *plugins: PluginSpec, command: tuple[str, ...] = (), **fields: str
) -> ServerSpec:
    return ServerSpec(
        name="theirs",
        command=command,
        cwd=folder / "home",
        port=None,
        restart=ONCE,
        env={"HOME": str(folder / "home")} | fields,
        plugins=(PluginSpec("privileges", {"user": str(UID)}), *plugins),
    )


def an_opencode(folder: Path) -> None:
    program = folder / "home" / ".opencode" / "bin" / "opencode"
    program.parent.mkdir(parents=True)
    program.write_text(OPENCODE)
    program.chmod(0o755)


async def start(spec: ServerSpec, directories: Directories) -> None:
    async with Supervisor(spec, directories=directories, environ={"PATH": "/usr/bin:/bin"}) as supervisor:
        await supervisor[spec.name].start()


async def test_a_program_of_the_user_is_asked_for_its_version_as_that_user(
    folder: Path, directories: Directories
) -> None:
    an_opencode(folder)
    all_owned(folder / "home")
    await start(of_the_user(folder, PluginSpec("opencode", {})), directories)
    assert (folder / "home" / "asked").read_text().split() == [str(UID), "CapEff:", "0" * 16]


async def test_a_password_file_that_the_user_linked_elsewhere_is_not_read_for_them(
    folder: Path, directories: Directories
) -> None:
    an_opencode(folder)
    state = folder / "home" / ".local" / "state" / "opencode"
    state.mkdir(parents=True)
    (state / "password").symlink_to(folder / "root" / "secret")
    all_owned(folder / "home")
    with pytest.raises(EnvironmentSetupFailed, match="password file"):
        await start(of_the_user(folder, PluginSpec("opencode", {})), directories)
    assert not (folder / "home" / "got").exists()


async def test_a_folder_that_the_user_linked_elsewhere_gets_no_password_file(
    folder: Path, directories: Directories
) -> None:
    an_opencode(folder)
    (folder / "home" / ".local").symlink_to(folder / "root")
    all_owned(folder / "home")
    with pytest.raises(EnvironmentSetupFailed, match="password file"):
        await start(of_the_user(folder, PluginSpec("opencode", {})), directories)
    assert [path.name for path in (folder / "root").iterdir()] == ["secret"]


def test_a_file_of_variables_that_the_user_decides_about_is_read_as_that_user(folder: Path) -> None:
    link, own, of_root = (folder / "home" / name for name in ("link", "own", "linked"))
    link.symlink_to(folder / "root" / "secret")
    own.write_text("A=of the user")
    of_root.symlink_to(own)
    all_owned(folder / "home")
    own.chmod(0o600)

    for path in (link, folder / "home" / "link"):
        with pytest.raises(EnvironmentSetupFailed, match="cannot be read"):
            read_env_file(EnvFile(path))
        with pytest.raises(EnvironmentSetupFailed, match="cannot read secret"):
            Secret(f"file:{path}").read()

    assert read_env_file(EnvFile(own)) == read_env_file(EnvFile(of_root)) == {"A": "of the user"}
    assert Secret(f"file:{folder / 'root' / 'secret'}").read() == ONLY_ROOT


def test_a_file_that_two_users_or_all_decide_about_is_refused(folder: Path) -> None:
    (folder / "home" / "theirs").write_text("A=1")
    os.chown(folder / "home" / "theirs", STRANGER, STRANGER)

    with pytest.raises(EnvironmentSetupFailed, match="users 2001, 2002 can change"):
        read_env_file(EnvFile(folder / "home" / "theirs"))

    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    (folder / "open" / "file").write_text("A=1")

    with pytest.raises(EnvironmentSetupFailed, match="every user can change"):
        read_env_file(EnvFile(folder / "open" / "file"))


def test_a_pipe_in_the_place_of_a_secret_holds_nobody_up(folder: Path) -> None:
    os.mkfifo(folder / "home" / "secret")
    os.chown(folder / "home" / "secret", UID, UID)
    with pytest.raises(EnvironmentSetupFailed, match="not a regular file"):
        Secret(f"file:{folder / 'home' / 'secret'}").read()


@pytest.mark.parametrize("option", ["ca", "certificate"])
@pytest.mark.parametrize(("kind", "reason"), [("pipe", "regular file"), ("link", "No such file")])
async def test_a_file_for_https_that_the_user_made_a_pipe_or_linked_is_read_as_the_user(
    folder: Path,
    directories: Directories,
    certificate: tuple[Path, object],
    option: str,
    kind: str,
    reason: str,
) -> None:
    pem = certificate[0].read_text() + certificate[0].with_name("key.pem").read_text()
    (folder / "root" / "secret").write_text(pem)
    file = folder / "home" / "file.pem"
    os.mkfifo(file) if kind == "pipe" else file.symlink_to(folder / "root" / "secret")
    all_owned(folder / "home")
    health = PluginSpec("http-health", {"port": 9, "scheme": "https", option: "file.pem"})

    spec = of_the_user(folder, health, command=("sleep", "100"))
    async with Supervisor(spec, directories=directories, environ={"PATH": "/usr/bin:/bin"}) as supervisor:
        with pytest.raises(ServerError, match=reason):
            await supervisor[spec.name].wait_ready(20)


async def test_what_steers_the_loader_reaches_the_server_and_nothing_that_runs_as_root(
    folder: Path, directories: Directories
) -> None:
    traces = folder / "home" / "traces"
    traces.mkdir()
    all_owned(folder / "home")
    traces.chmod(0o777)
    code = f"import os, time; open({str(folder / 'home' / 'env')!r}, 'w').write(os.environ['LD_DEBUG'])"
    spec = of_the_user(
        folder,
        command=(shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable, "-S", "-c", code),
        LD_DEBUG="statistics",
        LD_DEBUG_OUTPUT=str(traces / "loaded"),
    )
    async with Supervisor(spec, directories=directories, environ={"PATH": "/usr/bin:/bin"}) as supervisor:
        with anyio.fail_after(20):
            await supervisor[spec.name].start()
            await supervisor.wait()

    assert (folder / "home" / "env").read_text() == "statistics"
    assert {path.stat().st_uid for path in traces.iterdir()} == {UID}


async def test_a_stale_file_is_removed_as_the_user(folder: Path, directories: Directories) -> None:
    (folder / "home" / "run").symlink_to(folder / "root")
    all_owned(folder / "home")
    ready = PluginSpec("file-ready", {"path": "run/secret", "remove_stale": True})
    with pytest.raises(ServerError):
        await start(of_the_user(folder, ready, command=("/bin/sleep", "100")), directories)
    assert (folder / "root" / "secret").exists()


def test_check_looks_in_the_home_of_the_user_whatever_comes_first(
    directories: Directories,
) -> None:
    plugins = (PluginSpec("opencode", {}), PluginSpec("privileges", {"user": "nobody"}))
    spec = ServerSpec(name="theirs", cwd=Path("/"), plugins=plugins)
    seen = Inspector(Configuration({"theirs": spec}), directories, {"PATH": "/proc/nowhere", "HOME": "/root"})
    (said,) = [one.message for one in seen.observations() if "not installed" in one.message]
    assert "/nonexistent/.opencode/bin" in said
    assert "/root" not in said


NPM = """#!/bin/sh
case $1 in view) cat {root}/integrity;; pack) cp {root}/package.tgz .;; esac
"""


def published(root: Path) -> Path:
    """An npm that only root can run, with an OpenCode to install."""
    (root / "package" / "bin").mkdir(parents=True)
    (root / "package" / "package.json").write_text("{}")
    (root / "package" / "bin" / "opencode").write_text(OPENCODE.replace("2.0.1", VERSION))
    subprocess.run(["tar", "czf", root / "package.tgz", "-C", root, "package"], check=True)
    digest = hashlib.sha512((root / "package.tgz").read_bytes()).digest()
    (root / "integrity").write_text(json.dumps(f"sha512-{base64.b64encode(digest).decode()}"))
    (root / "npm").write_text(NPM.format(root=root))
    (root / "npm").chmod(0o755)
    return root


async def test_what_root_installs_for_another_user_can_be_run_by_that_user(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installing, "_OF_THE_SYSTEM", folder / "system")
    root = published(folder / "root")
    spec = ServerSpec(
        name="oc",
        cwd=folder / "home",
        port=None,
        env={"HOME": str(folder / "home"), "PATH": "/usr/bin:/bin"},
        restart=ONCE,
        plugins=(
            PluginSpec("privileges", {"user": str(UID), "group": str(UID)}),
            PluginSpec("opencode", {"install": "if-missing"}),
        ),
    )
    directories = Directories(root / "state", root / "data", root / "cache")  # which only root may enter
    environ = {"PATH": f"{root}:/usr/bin:/bin", "HOME": str(root)}
    async with Supervisor(spec, directories=directories, environ=environ) as supervisor:
        await supervisor["oc"].start()
        with anyio.fail_after(20):
            while not (folder / "home" / "got").exists():  # noqa: ASYNC110 - another process tells nobody
                await anyio.sleep(0.02)

    assert (folder / "home" / "asked").read_text().startswith(f"{UID}\n")
    installed = next((folder / "system" / "opencode").glob("*/bin/opencode"))
    assert (installed.stat().st_uid, installed.stat().st_mode & 0o777) == (0, 0o755)
