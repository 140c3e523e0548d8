"""Least privilege, and nothing that others could read or reach."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

import pytest
from cli_project import Project, five_plugins
from hostler import InvalidConfiguration


def status_of(pid: int, name: str) -> str:
    found = re.search(rf"^{name}:[ \t]*(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.requirement("R40")
async def test_a_server_gains_no_privileges(world: Project) -> None:
    async with world.supervisor(world.fake()) as supervisor:
        await supervisor["fake"].wait_ready(20)
        assert supervisor["fake"].pid is not None
        assert status_of(supervisor["fake"].pid, "NoNewPrivs") == "1"


@pytest.mark.requirement("R40")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may run a server as another user")
def test_a_server_runs_as_another_user_on_request(
    world: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    program = (
        "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=${server.port}, bind='127.0.0.1')"
    )
    command = [
        shutil.which("python3", path="/usr/bin:/usr/local/bin:/bin") or "/usr/bin/python3",
        "-u",
        "-c",
        program,
    ]
    file = world.configure(
        web={
            "command": command,
            "cwd": "/",
            "user": "nobody",
            "plugins": {"regex-port": {}, "env-sanitizer": {}},
        }
    )
    hostler = world.hostler("run", file, "--json")
    pid = hostler.event(event="state", state="running")["pid"]
    assert status_of(pid, "Uid").split() == ["65534"] * 4
    assert status_of(pid, "Groups").split() == ["65534"]
    assert hostler.stop(signal.SIGTERM) == 0


@pytest.mark.requirement("R40")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_a_host_that_others_can_reach_needs_to_be_asked_for(host: str, world: Project) -> None:
    with pytest.raises(InvalidConfiguration, match="expose"):
        world.load(world.fake(host=host))
    assert world.load(world.fake(host=host, expose=True))


@pytest.mark.requirement("R40")
async def test_what_hostler_writes_is_for_its_user_alone_whatever_the_umask(world: Project) -> None:
    before = os.umask(0)

    try:
        async with world.supervisor(world.fake()) as supervisor:
            await supervisor["fake"].wait_ready(20)
            folders = [world.directories.state, world.directories.data]
            paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
            files = {path.stat().st_mode & 0o777 for path in paths if path.is_file()}
            assert files == {0o600}
            assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o700}
    finally:
        os.umask(before)


@pytest.mark.requirement("R40")
async def test_a_server_is_guarded_by_a_password_of_its_own(world: Project) -> None:
    passwords = set()

    for _ in range(2):
        async with world.supervisor(world.fake("--password-from-env", plugins=five_plugins())) as supervisor:
            await supervisor["fake"].wait_ready(20)
            auth = supervisor["fake"].auth
            assert auth is not None
            passwords.add(auth.password)
            assert supervisor["fake"].child_env({})["OPENCODE_SERVER_PASSWORD"] == auth.password

    assert len(passwords) == 2
    assert min(map(len, passwords)) >= 32
