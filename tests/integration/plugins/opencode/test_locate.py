"""Where the opencode plugin finds the program, and what it says when it finds none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hostler import Launch, PluginSpec, ProcessSpawnFailed, ServerSpec
from hostler_plugins.opencode import OpenCode
from hostler_plugins.opencode import locate as finding
from hostler_plugins.opencode.command import arguments, completed
from opencode_binaries import NEWEST, opencode_binary
from opencode_context import Context, a_launch, clean_up


def a_program(path: Path, text: str = "#!/bin/sh\necho 1.2.3\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


async def found(view: Context, launch: Launch, **options: object) -> str:
    try:
        await OpenCode(**options).pre_spawn(view, launch)  # type: ignore[arg-type]
    finally:
        clean_up(launch)
    return launch.argv[0]


async def test_path_comes_before_the_home_folder_and_node_modules(view: Context) -> None:
    launch = a_launch(view)
    on_path = a_program(view.root / "bin" / "opencode")
    at_home = a_program(view.root / "home" / ".opencode" / "bin" / "opencode")
    in_project = a_program(view.root / "project" / "node_modules" / ".bin" / "opencode")

    assert await found(view, a_launch(view)) == str(on_path)
    on_path.unlink()
    assert await found(view, a_launch(view)) == str(at_home)
    at_home.unlink()
    assert await found(view, launch) == str(in_project)


async def test_the_nearest_node_modules_wins(view: Context) -> None:
    launch = a_launch(view)
    launch.cwd = view.root / "project" / "deep" / "er"
    launch.cwd.mkdir(parents=True)
    a_program(view.root / "project" / "node_modules" / ".bin" / "opencode")
    near = a_program(view.root / "project" / "deep" / "node_modules" / ".bin" / "opencode")

    assert await found(view, launch) == str(near)


async def test_a_program_that_is_nowhere_is_told_with_the_places_and_the_line_to_add(view: Context) -> None:
    launch = a_launch(view)
    with pytest.raises(ProcessSpawnFailed) as caught:
        await found(view, launch)
    text = str(caught.value)
    assert caught.value.permanent
    assert str(view.root / "bin") in text
    assert str(view.root / "home" / ".opencode" / "bin") in text
    assert 'install = "if-missing"' in text


async def test_a_configured_binary_wins_and_may_be_relative_or_a_folder(view: Context) -> None:
    a_program(view.root / "bin" / "opencode")
    mine = a_program(view.root / "project" / "tools" / "opencode")

    assert await found(view, a_launch(view), binary=Path("tools/opencode")) == str(mine)
    assert await found(view, a_launch(view), binary=mine.parent) == str(mine)


async def test_a_relative_binary_is_seen_from_the_file_that_names_it(view: Context) -> None:
    mine = a_program(view.root / "configs" / "tools" / "opencode")
    view.spec = ServerSpec(name="oc", plugins=(PluginSpec("opencode", base=view.root / "configs"),))
    assert await found(view, a_launch(view), binary=Path("tools/opencode")) == str(mine)


@pytest.mark.parametrize(("mode", "said"), [(None, "is no file"), (0o644, "is not executable")])
async def test_a_configured_binary_that_cannot_run_is_told_at_once(
    mode: int | None, said: str, view: Context
) -> None:
    path = view.root / "tools" / "opencode"
    if mode is not None:
        a_program(path).chmod(mode)
    with pytest.raises(ProcessSpawnFailed, match=said) as caught:
        await found(view, a_launch(view), binary=path)
    assert caught.value.permanent


async def test_a_path_in_the_configured_command_is_taken_as_the_binary(view: Context) -> None:
    mine = a_program(view.root / "tools" / "opencode")
    launch = a_launch(view, str(mine), "serve", "--port=4567")

    assert await found(view, launch) == str(mine)
    assert launch.argv[1:] == ["serve", "--port=4567", "--hostname", "127.0.0.1"]


async def test_a_command_that_is_not_opencode_stays_as_it_is(view: Context) -> None:
    launch = a_launch(view, "python3", "-m", "http.server")

    assert await found(view, launch) == "python3"
    assert launch.argv == ["python3", "-m", "http.server"]


def test_host_and_port_are_words_of_their_own_and_a_server_without_port_gets_none(view: Context) -> None:
    launch = a_launch(view)
    launch.port = 4096
    assert arguments(launch) == ["serve", "--hostname", "127.0.0.1", "--port", "4096"]
    launch.port = None
    assert arguments(launch) == ["serve", "--hostname", "127.0.0.1"]


def test_another_command_than_serve_is_not_completed(view: Context) -> None:
    assert completed(["acp"], arguments(a_launch(view))) == ["acp"]
    assert completed([], ["serve"]) == ["serve"]


async def test_the_serve_option_replaces_the_arguments(view: Context) -> None:
    a_program(view.root / "bin" / "opencode")
    launch = a_launch(view)
    await found(view, launch, serve=["web", "--port", "1"])
    assert launch.argv[1:] == ["web", "--port", "1"]


async def test_a_script_is_run_and_named_as_a_wrapper(view: Context) -> None:
    script = a_program(view.root / "bin" / "opencode")
    launch = a_launch(view)

    assert await found(view, launch) == str(script)
    assert str(script) in view.noticed("wrapper_only")
    assert launch.facts["version"] == "1.2.3"


@pytest.mark.opencode
async def test_a_link_is_resolved_to_the_native_program(view: Context) -> None:
    native = opencode_binary(NEWEST)
    (view.root / "bin").mkdir()
    (view.root / "bin" / "opencode").symlink_to(native)

    assert await found(view, a_launch(view)) == str(native)
    assert not view.notices


def test_a_tool_is_also_found_on_hostlers_own_path(view: Context) -> None:
    launch = a_launch(view)
    tool = a_program(view.root / "elsewhere" / "npm")
    launch.host_env = {"PATH": f"/proc/nowhere{os.pathsep}{tool.parent}"}

    assert finding.on_path("npm", launch) == tool
    assert finding.on_path("bun", launch) is None
