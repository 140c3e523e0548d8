"""How OpenCode is found, installed and run: from PATH, from npm, from its sources."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import psutil
import pytest
from cli_project import NOTHING, Project, five_plugins
from downloads import cache_folder
from hostler_plugins.opencode import VERSION
from hostler_plugins.opencode.platforms import bun_package, package_names
from hostler_plugins.opencode.source import BUN_VERSION
from opencode_binaries import NEWEST, npm_package, opencode_binary

pytestmark = pytest.mark.opencode

SOURCE = """
import { connected } from "greeting"
const value = (flag: string) => process.argv[process.argv.indexOf(flag) + 1]
const stream = () => new Response(new ReadableStream({ start: (c) => c.enqueue(`data: ${connected}\\n\\n`) }),
  { headers: { "content-type": "text/event-stream" } })
const server = Bun.serve({
  hostname: value("--hostname"), port: Number(value("--port")), idleTimeout: 0,
  fetch: (request) => new URL(request.url).pathname === "/event" ? stream() : new Response("{}"),
})
console.log(`opencode server listening on http://${server.hostname}:${server.port}`)
"""


def opencode(world: Project, **options: object) -> Path:
    plugins = five_plugins(opencode={"offline": True, **options}, log_rotation={})
    return world.configure(opencode={"cwd": str(world.project), "plugins": plugins})


@pytest.mark.requirement("R36")
def test_an_opencode_on_the_path_is_run(world: Project) -> None:
    folder = world.home / "bin"
    folder.mkdir()
    (folder / "opencode").symlink_to(opencode_binary(NEWEST))
    world.environ["PATH"] = f"{folder}:{world.environ['PATH']}"
    command = world.hostler("run", opencode(world), "--json")
    ready = command.event(30, event="state", state="running")
    assert psutil.Process(ready["pid"]).exe() == str(opencode_binary(NEWEST).resolve())
    assert command.stop(signal.SIGINT) == 0
    assert world.what_is_left() == NOTHING


@pytest.mark.requirement("R36", "R28")
def test_a_missing_opencode_is_told_with_where_it_was_looked_for(world: Project) -> None:
    world.environ["PATH"] = "/usr/bin:/bin"
    command = world.hostler("run", opencode(world))
    assert command.end() == 1
    text = "\n".join(command.err)
    assert "OpenCode is not installed" in text
    assert "PATH: /usr/bin" in text
    assert 'install = "if-missing"' in text


@pytest.fixture
def checkout(world: Project) -> Path:
    """A checkout laid out as OpenCode's own, with a dependency that needs no network."""
    root = world.home / "checkout"
    package, greeting = root / "packages" / "opencode", root / "packages" / "greeting"
    (package / "src").mkdir(parents=True)
    greeting.mkdir()
    (root / "package.json").write_text(json.dumps({"name": "all", "workspaces": ["packages/*"]}))
    (greeting / "package.json").write_text(json.dumps({"name": "greeting", "version": "1.0.0"}))
    (greeting / "index.ts").write_text("""export const connected = '{"type":"server.connected"}'\n""")
    wanted = {"name": "opencode", "version": "1.18.0", "dependencies": {"greeting": "workspace:*"}}
    (package / "package.json").write_text(json.dumps(wanted))
    (package / "src" / "index.ts").write_text(SOURCE)
    return root


@pytest.mark.requirement("R36")
def test_a_checkout_is_run_with_bun_after_its_dependencies_were_installed(
    world: Project, checkout: Path
) -> None:
    bun = npm_package(bun_package(), BUN_VERSION) / "bin" / "bun"
    file = opencode(world, source=str(checkout), bun=str(bun))
    command = world.hostler("run", file, "--json")
    progress = command.event(event="progress")
    assert "bun install" in progress["text"]
    ready = command.event(60, event="state", state="running")
    assert psutil.Process(ready["pid"]).cmdline()[1:3] == ["run", "src/index.ts"]
    assert list(checkout.rglob("node_modules/greeting/index.ts"))
    assert command.stop(signal.SIGINT) == 0
    assert world.what_is_left() == NOTHING


@pytest.mark.usefixtures("network")
@pytest.mark.requirement("R36", "R37")
def test_a_missing_opencode_is_installed_into_the_cache_once_with_mode_0755(world: Project) -> None:
    world.environ["npm_config_cache"] = str(cache_folder() / "npm")
    world.environ["PATH"] = without_opencode(world.environ["PATH"])
    file = opencode(world, install="if-missing")
    command = world.hostler("run", file, "--json")
    ready = command.event(120, event="state", state="running")
    program = Path(psutil.Process(ready["pid"]).exe())
    assert program.parents[2] == world.directories.cache / "opencode"
    assert program.parents[1].name == f"{package_names()[0]}@{VERSION}"
    assert oct(program.stat().st_mode & 0o7777) == "0o755"
    assert program.stat().st_uid == os.getuid()
    assert command.stop(signal.SIGINT) == 0

    again = world.hostler(
        "run", file, "--json", PATH="/usr/bin:/bin", npm_config_registry="http://127.0.0.1:1"
    )
    again.event(30, event="state", state="running")
    assert [event for event in again.events if event["event"] == "progress"] == []
    assert again.stop(signal.SIGINT) == 0
    assert world.what_is_left() == NOTHING


def without_opencode(path: str) -> str:
    return os.pathsep.join(
        folder for folder in path.split(os.pathsep) if shutil.which("opencode", path=folder) is None
    )


@pytest.mark.requirement("R38")
def test_an_update_is_looked_for_beside_the_start(world: Project) -> None:
    folder = world.home / "bin"
    folder.mkdir()
    # A registry that does not answer before the server runs.
    waits = f"while [ ! -e {world.home}/runs ]; do sleep 0.05; done"
    (folder / "npm").write_text(f"#!/bin/sh\n{waits}\necho '\"99.0.0\"'\n")
    (folder / "npm").chmod(0o755)
    world.environ["PATH"] = f"{folder}:{world.environ['PATH']}"
    file = opencode(world, binary=str(opencode_binary(NEWEST)), check_updates=True)
    command = world.hostler("run", file, "--json")
    command.event(30, event="state", state="running")
    (world.home / "runs").touch()
    notice = command.event(event="notice", topic="update_available")
    assert "99.0.0" in notice["text"]
    assert command.stop(signal.SIGINT) == 0
    assert world.what_is_left() == NOTHING
