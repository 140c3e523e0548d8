"""A real OpenCode in a sandbox, as root and as another user: it works, and nothing of it gets out."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from bubblewrap import folder_outside_tmp, needs_bwrap
from children import lives
from cli_project import Project, eventually, five_plugins
from hostler import Server
from opencode_binaries import NEWEST, opencode_binary
from opencode_requests import new_session, request, run_in_shell

pytestmark = [pytest.mark.opencode, needs_bwrap]
NOBODY = pytest.param(
    "nobody", marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root may become others")
)
SLEEPS = "302.5"

TRIES = """
for place in "$PWD" /tmp "$TMPDIR" "$HOME/.local/share/opencode"; do
    echo x > "$place/tried" && echo "yes $place"
done
for place in "$HOME" / /etc /usr /var/tmp {folder}; do
    (echo x > "$place/tried") 2>/dev/null || echo "no $place"
done
cat "$HOME/.ssh/id" 2>/dev/null || echo "no key"
grep -E "^(CapEff|NoNewPrivs|Uid)" /proc/self/status
setsid sh -c 'env -i sleep {sleeps} >/dev/null 2>&1 &'
echo end
"""


@dataclass
class Place:
    """A folder that every user may enter, with OpenCode, a home and a project of one user."""

    folder: Path
    user: str | None

    def __post_init__(self) -> None:
        (self.folder / "bin").mkdir()
        self.binary = self.folder / "bin" / "opencode"

        with suppress(OSError):
            self.binary.hardlink_to(opencode_binary(NEWEST))

        if not self.binary.exists():
            shutil.copy(opencode_binary(NEWEST), self.binary)

        self.home, self.project = self._own("home"), self._own("project")
        (self._own("home/.ssh") / "id").write_text("key")
        (self.home / ".ssh" / "id").chmod(0o644)

    def _own(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir()
        if self.user is not None:
            shutil.chown(path, self.user)
        return path

    def table(self) -> dict[str, object]:
        plugins = five_plugins(
            opencode={"binary": str(self.binary), "offline": True},
            sse_health={"reconnect": "1s"},
            log_rotation={},
        )
        xdg = {f"XDG_{name}_HOME": "" for name in ("DATA", "CONFIG", "STATE", "CACHE")}
        privileges: dict[str, object] = {} if self.user is None else {"privileges": {"user": self.user}}
        return {
            "cwd": str(self.project),
            "identity": "require",
            "restart": {"initial_delay": "50ms"},
            "env": {"HOME": str(self.home), **xdg},
            "plugins": {**plugins, **privileges, "sandbox": {}},
        }


@pytest.fixture(params=[None, NOBODY])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with folder_outside_tmp() as folder:
        yield Place(folder, request.param)


def sleepers() -> list[int]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cmdline() == ["sleep", SLEEPS]:
                found.append(process.pid)
    return found


def temporary_folders(world: Project) -> list[Path]:
    """Those that the run records name."""
    texts = [path.read_text() for path in (world.directories.state / "runs").glob("*.json")]
    return [Path(name) for name in set(re.findall(r"/tmp/hostler-\w+-[0-9a-f]{16}", " ".join(texts)))]


async def tried(server: Server, place: Place) -> list[str]:
    """What OpenCode's own shell tool could do."""
    assert server.url is not None
    script = TRIES.format(folder=place.folder, sleeps=SLEEPS)
    (place.project / "tries.sh").write_text(script)
    session = await asyncio.to_thread(new_session, server.url, server.auth)
    await asyncio.to_thread(run_in_shell, server.url, server.auth, session, "sh tries.sh > report 2>&1")
    return (place.project / "report").read_text().splitlines()


@pytest.mark.requirement("R36", "R40")
async def test_opencode_works_in_a_sandbox_writes_where_it_may_and_leaves_nothing(
    place: Place, world: Project
) -> None:
    async with world.supervisor(world.configure(opencode=place.table())) as supervisor:
        server = supervisor["opencode"]
        await server.wait_ready(60)
        assert server._engine.run is not None
        assert server._engine.run.launch is not None
        tmpdir, made = server._engine.run.launch.env["TMPDIR"], list(server._engine.run.launch.temporary)
        members = server.members()
        assert {psutil.Process(pid).name() for pid in members} == {"bwrap", "opencode"}
        assert server.memory > 50_000_000
        assert (await asyncio.to_thread(request, f"{server.url}/config", None))[0] == 401
        assert (await asyncio.to_thread(request, f"{server.url}/config", server.auth))[0] == 200

        said = await tried(server, place)
        data = place.home / ".local/share/opencode"
        assert [line for line in said if line.startswith("yes")] == [
            *(f"yes {path}" for path in (place.project, "/tmp", tmpdir, data)),
        ]
        closed = (place.home, "/", "/etc", "/usr", "/var/tmp", place.folder, "key")
        assert [line for line in said if line.startswith("no ")] == [f"no {path}" for path in closed]
        status = dict(line.split(":\t") for line in said if ":\t" in line)
        assert (int(status["CapEff"], 16), status["NoNewPrivs"]) == (0, "1")
        assert status["Uid"].split()[0] == ("0" if place.user is None else "65534")
        await asyncio.to_thread(eventually, lambda: len(sleepers()) == 1)
        (escaped,) = sleepers()
        assert escaped in server.members()

        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < 5
        assert not any(lives(pid) for pid in [*members, escaped])
        assert sleepers() == []
        assert [path for path in made if path.exists()] == []

    assert (data / "tried").exists()
    assert world.what_is_left() == {"processes": {}, "records": [], "temporary": []}


@pytest.mark.requirement("R5", "R40")
def test_a_killed_hostler_leaves_nothing_of_a_sandbox(place: Place, world: Project) -> None:
    escapes = f"setsid sh -c 'env -i sleep {SLEEPS} &'; exec sleep 300"
    own = {"privileges": {"user": place.user}} if place.user else {}
    other = {
        "command": ["/bin/sh", "-c", escapes],
        "cwd": str(place.project),
        "port": False,
        "plugins": {**own, "sandbox": {}},
    }
    hostler = world.hostler("run", world.configure(opencode=place.table(), other=other), "--json")
    opencode = hostler.event(timeout=60, event="state", server="opencode", state="running")["pid"]
    eventually(lambda: len(sleepers()) == 1)
    children = psutil.Process(hostler.process.pid).children(recursive=True)
    assert opencode in {child.pid for child in children}
    folders = temporary_folders(world)
    assert len(folders) == 3, "two that are /tmp, one that OpenCode has beside it"
    assert hostler.stop(signal.SIGKILL) == -9
    eventually(lambda: not any(lives(child.pid) for child in children) and not sleepers())

    # Files are left, and are removed by the next start of any server.
    next_one = {"command": ["/bin/true"], "port": False}
    assert world.hostler("run", world.configure(another=next_one)).end() == 0
    assert [folder for folder in folders if folder.exists()] == []
