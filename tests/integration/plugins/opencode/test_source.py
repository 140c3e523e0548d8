"""OpenCode from a checkout: bun is found, missing dependencies are installed, the server runs."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from hostler import Healthy, ProcessSpawnFailed
from hostler_plugins.opencode import OpenCode
from hostler_plugins.opencode.platforms import bun_package
from hostler_plugins.opencode.source import BUN_VERSION, missing_dependencies, wanted_bun
from opencode_binaries import npm_package
from opencode_context import Context, a_launch, clean_up, spawned

SERVER = """
import { word } from "greeting"
const value = (flag: string) => process.argv[process.argv.indexOf(flag) + 1]
const server = Bun.serve({
  hostname: value("--hostname"), port: Number(value("--port")),
  fetch: () => new Response(word),
})
console.log(`opencode server listening on http://${server.hostname}:${server.port}`)
"""


def real_bun() -> Path:
    return npm_package(bun_package(), BUN_VERSION) / "bin" / "bun"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that is laid out as OpenCode's, with one dependency that needs no network."""
    root = tmp_path / "checkout"
    package = root / "packages" / "opencode"
    greeting = root / "packages" / "greeting"
    (package / "src").mkdir(parents=True)
    greeting.mkdir()
    (root / "package.json").write_text(json.dumps({"name": "all", "workspaces": ["packages/*"]}))
    (greeting / "package.json").write_text(json.dumps({"name": "greeting", "version": "1.0.0"}))
    (greeting / "index.ts").write_text('export const word = "hello"\n')
    (package / "package.json").write_text(
        json.dumps({"name": "opencode", "version": "1.2.3", "dependencies": {"greeting": "workspace:*"}})
    )
    (package / "src" / "index.ts").write_text(SERVER)
    return root


async def test_a_checkout_is_run_with_bun_after_its_dependencies_were_installed(
    checkout: Path, view: Context
) -> None:
    plugin = OpenCode(source=checkout, bun=real_bun())
    launch = a_launch(view)
    await plugin.pre_spawn(view, launch)

    with spawned(view, launch):
        reports = [report async for report in plugin.health_check(view, view.endpoint)]

    clean_up(launch)
    assert launch.argv[:4] == [str(real_bun()), "run", "src/index.ts", "serve"]
    assert launch.cwd == checkout / "packages" / "opencode"
    assert launch.facts["version"] == "1.2.3"
    assert isinstance(reports[-1], Healthy)
    assert view.progressed == ["installing 1 dependencies of OpenCode (bun install)"]

    again = Context(view.root / "again", view.reader)
    await plugin.pre_spawn(again, launch := a_launch(again))
    clean_up(launch)
    assert again.progressed == []


async def test_two_hostlers_install_the_dependencies_once(checkout: Path, view: Context) -> None:
    views = [view, Context(view.root, view.reader)]

    async def start(one: Context) -> None:
        launch = a_launch(one, XDG_DATA_HOME=str(one.root / str(views.index(one))))
        await OpenCode(source=checkout, bun=real_bun()).pre_spawn(one, launch)
        clean_up(launch)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for one in views:
                tasks.start_soon(start, one)

    said = [text for one in views for text in one.progressed]
    assert sum("bun install" in text for text in said) == 1


async def test_a_failed_bun_install_is_told_with_its_words(checkout: Path, view: Context) -> None:
    package = checkout / "packages" / "opencode" / "package.json"
    package.write_text(json.dumps({"name": "opencode", "dependencies": {"gone": "workspace:*"}}))
    launch = a_launch(view)
    with pytest.raises(ProcessSpawnFailed, match="bun install ended with exit code 1") as caught:
        await OpenCode(source=checkout, bun=real_bun()).pre_spawn(view, launch)
    clean_up(launch)
    assert "gone" in str(caught.value)


async def test_a_folder_that_is_no_checkout_is_told(view: Context) -> None:
    launch = a_launch(view)
    with pytest.raises(ProcessSpawnFailed, match="no checkout of OpenCode") as caught:
        await OpenCode(source=view.root).pre_spawn(view, launch)
    clean_up(launch)
    assert caught.value.permanent


@pytest.mark.parametrize(("configured", "said"), [("gone", "is no file"), (None, "need bun")])
async def test_a_missing_bun_is_told(
    configured: str | None, said: str, checkout: Path, view: Context
) -> None:
    launch = a_launch(view)
    launch.host_env = {"PATH": "/proc/nowhere"}
    plugin = OpenCode(source=checkout, bun=None if configured is None else Path(configured))
    with pytest.raises(ProcessSpawnFailed, match=said) as caught:
        await plugin.pre_spawn(view, launch)
    clean_up(launch)
    assert caught.value.permanent


async def test_bun_is_found_in_the_home_folder(checkout: Path, view: Context) -> None:
    folder = view.root / "home" / ".bun" / "bin"
    launch = a_launch(view)
    launch.host_env = {"PATH": "/proc/nowhere", "HOME": str(view.root / "home")}
    folder.mkdir(parents=True)
    (folder / "bun").symlink_to(real_bun())
    await OpenCode(source=checkout).pre_spawn(view, launch)
    clean_up(launch)
    assert launch.argv[0] == str(folder / "bun")


async def test_a_bun_that_cannot_run_is_told(checkout: Path, view: Context) -> None:
    bun = view.root / "bun"
    bun.write_bytes(b"\x7fELF nonsense")
    bun.chmod(0o755)
    launch = a_launch(view)
    with pytest.raises(ProcessSpawnFailed, match="cannot be run"):
        await OpenCode(source=checkout, bun=bun).pre_spawn(view, launch)
    clean_up(launch)


@pytest.mark.usefixtures("network")
async def test_a_missing_bun_is_installed_when_that_is_allowed(checkout: Path, view: Context) -> None:
    (checkout / "package.json").write_text(
        json.dumps({"name": "all", "workspaces": ["packages/*"], "packageManager": f"bun@{BUN_VERSION}"})
    )
    launch = a_launch(view)
    await OpenCode(source=checkout, install="if-missing").pre_spawn(view, launch)
    clean_up(launch)
    assert Path(launch.argv[0]).is_relative_to(view.cache_dir)
    assert launch.argv[1:3] == ["run", "src/index.ts"]


def test_the_checkout_says_which_bun_it_wants(checkout: Path, view: Context) -> None:
    assert wanted_bun(checkout, a_launch(view)) == BUN_VERSION
    (checkout / "package.json").write_text('{"packageManager": "bun@1.3.5"}')
    assert wanted_bun(checkout, a_launch(view)) == "1.3.5"
    (checkout / "package.json").write_text("nonsense")
    assert wanted_bun(checkout, a_launch(view)) == BUN_VERSION


def test_a_checkout_without_a_readable_package_has_nothing_to_install(view: Context, tmp_path: Path) -> None:
    assert missing_dependencies(tmp_path, a_launch(view)) == []
