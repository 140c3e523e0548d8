"""What the plugin makes of the last words of a dead OpenCode."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from hostler import (
    Action,
    Advice,
    EnvironmentSetupFailed,
    Exit,
    ExitCause,
    InvalidConfiguration,
    Launch,
    PortInUse,
    ProcessSpawnFailed,
    ServerError,
)
from hostler_plugins.opencode import OpenCode
from opencode_binaries import NEWEST, PREVIEW, opencode_binary
from opencode_context import Context, a_launch, clean_up


def an_exit(
    stderr: str = "", *, code: int | None = 1, signal: int | None = None, ready: bool = False
) -> Exit:
    return Exit(ExitCause.EXITED, 1, code=code, signal=signal, stderr=stderr, ready=ready)


async def advice_of(
    version: str, view: Context, spoil: Callable[[Launch], None], *words: str
) -> Advice | None:
    """Start a real OpenCode that cannot live, and ask what its end means."""
    plugin = OpenCode(binary=opencode_binary(version), offline=True)
    launch = a_launch(view, *words)
    await plugin.pre_spawn(view, launch)
    spoil(launch)
    ended = run_to_the_end(launch)
    clean_up(launch)
    return await plugin.on_crash(ended)


def run_to_the_end(launch: Launch) -> Exit:
    ended = subprocess.run(
        launch.argv, cwd=launch.cwd, env=launch.env, capture_output=True, text=True, timeout=60, check=False
    )
    return Exit(ExitCause.EXITED, 1, code=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)


def nothing(launch: Launch) -> None:
    """Leave the launch as it is."""


def assert_advice(advice: Advice | None, action: Action, error: type[ServerError]) -> str:
    assert advice is not None
    assert advice.action is action
    assert type(advice.error) is error
    return str(advice.error)


@pytest.mark.opencode
@pytest.mark.parametrize("version", ["0.5.29", "1.0.0", "1.1.34", "1.14.34", NEWEST, PREVIEW])
async def test_a_port_that_is_taken_is_told_in_every_version(version: str, view: Context) -> None:
    with socket.socket() as holder:

        def take(launch: Launch) -> None:
            holder.bind(("127.0.0.1", launch.port or 0))
            holder.listen()

        advice = await advice_of(version, view, take)
    assert "in use" in assert_advice(advice, Action.BACK_OFF, PortInUse)


@pytest.mark.opencode
@pytest.mark.parametrize("version", ["1.1.34", "1.14.34", NEWEST])
@pytest.mark.parametrize("text", ['{ "model": 5, ', '{ "nonsense": [1], "model": 5 }'])
async def test_a_broken_global_configuration_is_shown_and_permanent(
    text: str, version: str, view: Context
) -> None:
    folder = view.root / "home" / ".config" / "opencode"
    folder.mkdir(parents=True)
    (folder / "opencode.json").write_text(text)
    advice = await advice_of(version, view, nothing)
    assert "opencode.json" in assert_advice(advice, Action.GIVE_UP, InvalidConfiguration)


@pytest.mark.opencode
@pytest.mark.parametrize("version", ["1.1.34", NEWEST, PREVIEW])
async def test_an_unknown_argument_is_permanent(version: str, view: Context) -> None:
    advice = await advice_of(version, view, nothing, "opencode", "serve", "--nonsense")
    assert "argument" in assert_advice(advice, Action.GIVE_UP, ProcessSpawnFailed)


@pytest.mark.opencode
@pytest.mark.skipif(os.getuid() != 0, reason="mounting a file system needs root")
async def test_a_home_that_became_unwritable_is_permanent(view: Context) -> None:
    home = view.root / "ro"
    home.mkdir()

    def spoil(launch: Launch) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", home], check=True)
        launch.env["HOME"] = str(home)

    try:
        advice = await advice_of(NEWEST, view, spoil)
    finally:
        await anyio.run_process(["umount", "-l", str(home)], check=False)

    assert "EROFS" in assert_advice(advice, Action.GIVE_UP, EnvironmentSetupFailed)


@pytest.mark.opencode
async def test_a_deleted_working_directory_is_permanent(view: Context) -> None:
    def delete_it(launch: Launch) -> None:
        launch.argv = [
            "/bin/sh",
            "-c",
            'cd "$0" && /bin/rmdir "$0" && exec "$@"',
            str(launch.cwd),
            *launch.argv,
        ]
        launch.cwd = Path("/")

    advice = await advice_of(NEWEST, view, delete_it)
    assert "deleted" in assert_advice(advice, Action.GIVE_UP, ProcessSpawnFailed)


@pytest.mark.parametrize(
    ("said", "action", "error"),
    [
        ("EACCES: permission denied, mkdir '/home/x/.local'", Action.GIVE_UP, EnvironmentSetupFailed),
        (
            "\x1b[91mError:\x1b[0m ENOSPC: no space left on device, write",
            Action.BACK_OFF,
            EnvironmentSetupFailed,
        ),
        ("SQLiteError: database or disk is full", Action.BACK_OFF, EnvironmentSetupFailed),
        ("Failed query: CREATE TABLE `project`", Action.BACK_OFF, EnvironmentSetupFailed),
        ("error: Cannot find package 'yargs' from 'src/index.ts'", Action.GIVE_UP, ProcessSpawnFailed),
        ("Config file at /p/opencode.json is invalid", Action.GIVE_UP, InvalidConfiguration),
    ],
)
async def test_words_that_are_hard_to_provoke_are_known_too(
    said: str, action: Action, error: type[ServerError]
) -> None:
    assert_advice(await OpenCode().on_crash(an_exit(said)), action, error)


async def test_a_bun_panic_backs_off() -> None:
    panic = an_exit("Bun v1.3.14 (Linux x64)\npanic: Segmentation fault", code=None, signal=signal.SIGSEGV)
    advice = await OpenCode().on_crash(panic)
    assert advice == Advice(Action.BACK_OFF)


async def test_the_words_of_a_server_that_was_ready_are_not_taken_for_its_own() -> None:
    assert await OpenCode().on_crash(an_exit("EACCES: permission denied, mkdir", ready=True)) is None


async def test_what_says_nothing_is_left_to_the_engine() -> None:
    assert await OpenCode().on_crash(an_exit("something else")) is None
    assert await OpenCode().on_crash(an_exit("Error: Unexpected error\n\nServeError")) is None


async def test_a_bare_error_while_the_port_is_free_is_no_port_in_use(view: Context) -> None:
    program = view.root / "bin" / "opencode"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 1.18.34\n")
    program.chmod(0o755)
    plugin, launch = OpenCode(), a_launch(view)
    await plugin.pre_spawn(view, launch)
    clean_up(launch)
    assert await plugin.on_crash(an_exit("ServeError")) is None
