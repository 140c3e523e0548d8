"""Real OpenCode servers of many versions, started, checked and stopped as the plugin says."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from hostler import Auth, Healthy, Launch, Report
from hostler_plugins.opencode import OpenCode
from opencode_binaries import NEWEST, PREVIEW, opencode_binary
from opencode_context import Context, a_launch, clean_up, spawned

pytestmark = pytest.mark.opencode

# More of them, under the whole of hostler: tests/acceptance/test_opencode_versions.py.
SOME = ["0.5.29", "1.3.2", NEWEST, PREVIEW]


def the_plugin(version: str, **options: object) -> OpenCode:
    return OpenCode(binary=opencode_binary(version), offline=True, **options)  # type: ignore[arg-type]


def request(
    launch: Launch, path: str, auth: Auth | None, data: object = None, method: str = "GET"
) -> tuple[int, str, bytes]:
    """Status, content type and the first line of an answer."""
    question = urllib.request.Request(f"http://127.0.0.1:{launch.port}{path}", method=method)
    question.add_header("content-type", "application/json")

    if auth is not None:
        question.add_header("authorization", auth.header)

    body = None if data is None else json.dumps(data).encode()
    try:
        with urllib.request.urlopen(question, data=body, timeout=20) as answer:
            return answer.status, str(answer.headers["content-type"]), answer.readline()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, str(error.headers["content-type"]), error.read()


async def first_healthy(plugin: OpenCode, view: Context) -> list[Report]:
    with anyio.fail_after(30):
        return [report async for report in plugin.health_check(view, view.endpoint)]


@pytest.mark.parametrize("version", SOME)
async def test_a_version_listens_where_it_was_told_and_answers_on_its_health_path(
    version: str, view: Context
) -> None:
    plugin = the_plugin(version)
    launch = a_launch(view)
    await plugin.pre_spawn(view, launch)
    auth = launch.facts["auth"]
    assert isinstance(auth, Auth)

    with spawned(view, launch) as process:
        reports = await first_healthy(plugin, view)
        await plugin.on_ready(view, view.endpoint)
        seen = await anyio.to_thread.run_sync(request, launch, str(launch.facts["health_path"]), auth)
        await plugin.on_shutdown(view)
        process.terminate()
        status = process.wait(10)

    clean_up(launch)
    assert isinstance(reports[-1], Healthy)
    assert seen[:2] == (200, "text/event-stream")
    assert b"server.connected" in seen[2]
    assert status in {-15, 0, 130}
    assert bool(view.noticed("password_ignored")) == (version == "0.5.29")
    assert launch.facts["version"] == (version if version != PREVIEW else "1.18.18")
    assert auth.password not in (view.root / "oc.log").read_text()


async def test_a_server_that_refuses_the_password_is_not_healthy(view: Context) -> None:
    plugin = the_plugin(NEWEST)
    launch = a_launch(view)
    await plugin.pre_spawn(view, launch)

    with spawned(view, launch):
        view.facts = {**view.facts, "auth": Auth("opencode", "another one")}
        reports = plugin.health_check(view, view.endpoint)
        report = await anext(reports)
        await reports.aclose()

    clean_up(launch)
    assert "refuses the password" in getattr(report, "reason", "")


async def test_without_a_password_the_server_is_healthy_and_open(view: Context) -> None:
    plugin = the_plugin(NEWEST, password=False)
    launch = a_launch(view)
    await plugin.pre_spawn(view, launch)

    with spawned(view, launch):
        reports = await first_healthy(plugin, view)
        seen = request(launch, "/global/health", None)

    clean_up(launch)
    assert isinstance(reports[-1], Healthy)
    assert seen[0] == 200
    assert "auth" not in launch.facts
    assert "OPENCODE_SERVER_PASSWORD" not in launch.env
    assert not view.notices


async def test_the_preview_keeps_the_password_that_is_in_its_file(view: Context) -> None:
    file = view.root / "home" / ".local" / "state" / "opencode" / "password"
    file.parent.mkdir(parents=True)
    file.write_text("of-another-client")
    plugin = the_plugin(PREVIEW)
    launch = a_launch(view)
    await plugin.pre_spawn(view, launch)

    with spawned(view, launch):
        reports = await first_healthy(plugin, view)

    clean_up(launch)
    assert launch.facts["auth"] == Auth("opencode", "of-another-client")
    assert isinstance(reports[-1], Healthy)
    assert "of-another-client" in launch.secrets.values()


async def test_on_shutdown_ends_what_sigterm_would_leave_behind(view: Context) -> None:
    plugin = the_plugin(NEWEST)
    launch = a_launch(view)
    await plugin.pre_spawn(view, launch)
    launch.env["PATH"] = "/usr/bin:/bin"
    auth = launch.facts["auth"]
    assert isinstance(auth, Auth)

    with spawned(view, launch):
        made = request(launch, "/pty", auth, {"command": "sleep", "args": ["321.5"]}, "POST")
        assert made[0] == 200, made
        assert wait_until(lambda: sleepers(launch.cwd) == 1)
        await plugin.on_shutdown(view)
        assert wait_until(lambda: sleepers(launch.cwd) == 0)

    clean_up(launch)


async def test_the_private_tmpdir_catches_what_opencode_leaves(view: Context) -> None:
    plugin = the_plugin("1.14.34")
    launch = a_launch(view)
    await plugin.pre_spawn(view, launch)
    tmpdir = Path(launch.env["TMPDIR"])
    before = look_into(tmpdir)

    with spawned(view, launch):
        during = look_into(tmpdir)

    clean_up(launch)
    assert before == (0o700, [])
    assert during is not None
    assert any(name.endswith(".so") for name in during[1])
    assert look_into(tmpdir) is None


async def test_a_wrapper_is_resolved_and_the_port_passed_in_a_configured_command(view: Context) -> None:
    (view.root / "bin").mkdir()
    (view.root / "bin" / "opencode").symlink_to(opencode_binary(NEWEST))
    launch = a_launch(view, "opencode", "serve", "--print-logs")
    await OpenCode(offline=True).pre_spawn(view, launch)

    with spawned(view, launch):
        pass

    clean_up(launch)
    assert launch.argv == [
        str(opencode_binary(NEWEST)),
        "serve",
        "--print-logs",
        "--hostname",
        "127.0.0.1",
        "--port",
        str(launch.port),
    ]


def sleepers(cwd: Path) -> int:
    """How many of the test's own processes sleep in a folder."""
    found = subprocess.run(["pgrep", "-f", "sleep 321.5"], capture_output=True, text=True, check=False)
    return sum(1 for pid in found.stdout.split() if is_in(pid, cwd))


def is_in(pid: str, cwd: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == cwd
    except OSError:
        return False


def look_into(folder: Path) -> tuple[int, list[str]] | None:
    """The mode and the names in a folder; None without it."""
    if not folder.exists():
        return None
    return folder.stat().st_mode & 0o777, [path.name for path in folder.iterdir()]


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return condition()
