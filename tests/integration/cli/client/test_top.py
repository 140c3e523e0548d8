"""`hostler top` with a real hostler in the background: by textual's pilot, and once in a real tmux."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from background_project import pid_of, servers, servers_pid, write
from controlled import short_folder
from hostler.cli import main
from hostler.cli.top.app import Top
from hostler.cli.top.log_pane import LogPane
from hostler.cli.top.screens import Page, Question
from hostler.cli.top.server_table import ServerTable
from hostler.client import AsyncClient
from hostler_process import HOSTLER, Run, Terminal, server_table
from scripted_server import ScriptedServer
from textual.pilot import Pilot
from textual.widgets import Static

NASTY = r"\033]0;owned\007\033[2J[bold]a[/bold]  b\033[31m red"
TALKER = f"""
[servers.talker]
port = false
command = ["sh", "-c", "printf '{NASTY.replace(chr(92), chr(92) * 2)}\\\\n'; echo oops >&2; exec sleep 600"]
restart = {{ initial_delay = "50ms" }}
"""
SIZES = [(80, 24), (200, 60)]
Watched = Pilot[int]


@pytest.fixture
def project(project: Path, run: Run) -> Path:
    """Two servers that run."""
    write(project, server_table(), TALKER)
    done = run("up")
    assert done.returncode == 0, done.stderr
    return project


@asynccontextmanager
async def top(
    project: Path, environ: dict[str, str], size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Watched]:
    client = AsyncClient(project / "hostler.toml", environ=environ)
    async with Top(client, "hostler.toml").run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: "running" in shown(pilot))
        yield pilot


async def until(pilot: Watched, condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait for what comes from other processes, while the screen goes on."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, shown(pilot)
        await pilot.pause(0.02)


def shown(pilot: Watched) -> str:
    """The characters on the screen, line by line."""
    app = pilot.app
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


def part(pilot: Watched, selector: str) -> str:
    return str(pilot.app.screen_stack[0].query_one(selector, Static).render())


def is_in_state(run: Run, name: str, state: str) -> bool:
    return servers(run)[name]["state"] == state


@pytest.mark.parametrize("size", SIZES)
async def test_it_shows_each_server_and_the_log_of_the_chosen_one(
    project: Path, environ: dict[str, str], run: Run, size: tuple[int, int]
) -> None:
    url = str(servers(run)["fake"]["url"])
    async with top(project, environ, size) as pilot:
        words = ("NAME", "STATE", "HEALTH", "UPTIME", "RESTARTS", "MEMORY", "CPU", "0 of 5", " MiB", url)
        await until(pilot, lambda: all(word in shown(pilot) for word in words))
        assert part(pilot, "#chosen").startswith(f"fake: {url}\n")
        assert shown(pilot).splitlines()[0].endswith("hostler.toml  2 running")
        assert ("LAST 60 MIN" in shown(pilot)) == (size == SIZES[1])
        await until(pilot, lambda: "█" in part(pilot, "#chosen"))
        await pilot.press("down")
        await until(pilot, lambda: "]0;owned�[bold]a[/bold]  b red" in shown(pilot))
        assert "! oops" in shown(pilot)
        assert "run 1 began" in shown(pilot)


async def test_a_crash_is_seen_at_once_and_can_be_read(
    project: Path, environ: dict[str, str], run: Run
) -> None:
    async with top(project, environ) as pilot:
        await pilot.press("end", "k", "j")
        await until(pilot, lambda: "oops" in shown(pilot))
        await pilot.press("home")
        await until(pilot, lambda: "oops" not in shown(pilot))
        await pilot.press("down")
        await until(pilot, lambda: "oops" in shown(pilot))
        await pilot.press("c")
        await until(pilot, lambda: "talker has not crashed" in shown(pilot))
        await pilot.press("escape")
        os.kill(servers_pid(servers(run)["talker"]), signal.SIGKILL)
        await until(pilot, lambda: "run 2 began" in shown(pilot))
        await until(pilot, lambda: "talker: waiting_ready -> running" in part(pilot, "#news"))
        await pilot.press("c")
        await until(pilot, lambda: isinstance(pilot.app.screen, Page))
        assert "talker, crash 1: run 1 exited unexpectedly" in shown(pilot)
        assert "SIGKILL" in shown(pilot)
        assert "oops" in shown(pilot)
        await pilot.press("escape", "e")
        await until(pilot, lambda: "talker is running since" in shown(pilot))
        assert "Restarts: 1 of 5 used, 1 in all." in shown(pilot)
        assert "The last crash (number 1)" in shown(pilot)
        assert "Log file: " in shown(pilot)


async def test_it_stops_restarts_and_starts_what_is_chosen(
    project: Path, environ: dict[str, str], run: Run
) -> None:
    async with top(project, environ) as pilot:
        await pilot.press("x")
        assert isinstance(pilot.app.screen, Question)
        assert "stop fake?" in shown(pilot)
        await pilot.press("n")
        await pilot.press("r", "y")
        await until(pilot, lambda: "run 2 began" in shown(pilot))
        await until(pilot, lambda: is_in_state(run, "fake", "running"))
        assert servers(run)["fake"]["generation"] == 2  # and the stop was not sent
        await pilot.press("x", "enter")
        await until(pilot, lambda: "1 stopped, 1 running" in part(pilot, "#head"))
        await pilot.press("y")
        await until(pilot, lambda: "it has no URL now" in shown(pilot))
        await pilot.press("s")
        await until(pilot, lambda: "2 running" in part(pilot, "#head"))
    assert is_in_state(run, "fake", "running")  # leaving stops nothing


async def test_what_hostler_refuses_is_told(project: Path, environ: dict[str, str], run: Run) -> None:
    async with top(project, environ) as pilot:
        write(project, server_table())
        pilot.app.query_one(ServerTable).move_cursor(row=1)
        await pilot.press("r")
        client = pilot.app._client  # type: ignore[attr-defined]
        await client.reload()  # which takes the server away while the question stands
        await pilot.press("y")
        await until(pilot, lambda: "there is no server" in shown(pilot))
        await until(pilot, lambda: "1 running" in part(pilot, "#head"))


async def test_the_filter_and_the_full_log(project: Path, environ: dict[str, str]) -> None:
    async with top(project, environ) as pilot:
        table, log = pilot.app.query_one(ServerTable), pilot.app.query_one(LogPane)
        await pilot.press("slash", *"TALK", "enter")
        await until(pilot, lambda: (table.chosen, table.row_count) == ("talker", 1))
        await pilot.press("slash", "q")
        assert "no server has this in its name or state" in part(pilot, "#chosen")
        await pilot.press("enter", *"sxrce")  # nothing is chosen
        assert len(pilot.app.screen_stack) == 1
        await pilot.press("escape")
        await until(pilot, lambda: table.row_count == 2)
        assert pilot.app.focused is table
        small = log.size.height
        await pilot.press("l")
        await until(pilot, lambda: log.size.height > small + 3)
        await pilot.press("l")
        await until(pilot, lambda: log.size.height == small)
        await pilot.press("f")
        assert not log.auto_scroll
        await pilot.press("f")
        assert log.auto_scroll
        await pilot.resize_terminal(*SIZES[1])
        await until(pilot, lambda: "LAST 60 MIN" in shown(pilot))
        await pilot.press("question_mark")
        assert "q         leave, as Ctrl-C does; the servers go on" in shown(pilot)
        await pilot.press("q")
        assert pilot.app.is_running
        await pilot.press("q")
    assert not pilot.app.is_running


async def test_the_log_is_followed_until_somebody_scrolls_up(
    project: Path, environ: dict[str, str], run: Run
) -> None:
    program = "seq 100; while sleep 0.05; do echo more; done"
    write(project, f"[servers.chatty]\nport = false\ncommand = ['sh', '-c', '{program}']\n")
    assert run("up").returncode == 0
    async with top(project, environ) as pilot:
        log = pilot.app.query_one(LogPane)
        await until(pilot, lambda: "| more" in shown(pilot))
        await pilot.resize_terminal(60, 20)  # there are fewer lines of the log, and still the last ones
        await until(pilot, lambda: "| more" in shown(pilot) and len(shown(pilot).splitlines()) == 20)
        assert "q Quit" in shown(pilot)
        await until(pilot, lambda: shown(pilot).splitlines()[4].endswith("█"))  # the minute of now
        for keys in (("tab", "pageup"), ("f", "f")):
            await pilot.press(*keys)
            await until(pilot, lambda: re.search(r"stands still, [1-9]\d* new; f follows", shown(pilot)))
            place = log.scroll_offset.y
            await pilot.pause(0.3)
            assert log.scroll_offset.y == place
        await pilot.press("f")
        await until(pilot, lambda: "stands still" not in shown(pilot) and "| more" in shown(pilot))
        log.scroll_page_up()
        log._coming.append("more")  # before the first step of the way up: no loop can be that quick
        log._show()
        await until(pilot, lambda: "stands still" in shown(pilot))


async def test_the_url_is_copied_and_opened(
    project: Path, environ: dict[str, str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = servers(run)["fake"]["url"]
    opened: list[object] = []
    async with top(project, environ) as pilot:
        # No browser is at hand in tests.
        monkeypatch.setattr(pilot.app, "open_url", opened.append)
        await until(pilot, lambda: "2 running" in part(pilot, "#head"))
        await pilot.press("y")
        assert pilot.app.clipboard == url
        monkeypatch.setenv("DISPLAY", ":0")
        await pilot.press("o")
        assert opened == [url]
        monkeypatch.delenv("DISPLAY")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        monkeypatch.setattr(sys, "platform", "linux")
        await pilot.press("o")
        await until(pilot, lambda: "no display here" in shown(pilot))
        assert opened == [url]


async def test_it_says_that_hostler_is_gone_and_comes_back_by_itself(
    project: Path, environ: dict[str, str], run: Run
) -> None:
    async with top(project, environ) as pilot:
        await pilot.press("down")
        os.kill(pid_of(run("up", "--json")), signal.SIGKILL)
        await until(
            pilot, lambda: "no hostler supervises hostler.toml now, trying; last news" in shown(pilot)
        )
        assert "talker" in shown(pilot)
        await pilot.press("s")
        await until(pilot, lambda: "start one: hostler up" in shown(pilot))
        assert (await asyncio.to_thread(run, "up")).returncode == 0
        await until(pilot, lambda: "2 running" in part(pilot, "#head"))
        await until(pilot, lambda: "run 2 began" in shown(pilot) or shown(pilot).count("! oops") == 2)


async def test_without_colours_the_chosen_server_is_marked(
    project: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with top(project, environ) as pilot:
        segments = [one for strip in pilot.app.screen._compositor.render_strips() for one in strip]
        for one in pilot.app._filters:
            if one.enabled:
                segments = one.apply(segments, pilot.app.styles.background)
        styles = [one.style for one in segments if one.style is not None]
        colours = {colour for style in styles for colour in (style.color, style.bgcolor)}
        assert all(colour is None or colour.is_default for colour in colours)
        assert any(one.style and one.style.reverse and "fake" in one.text for one in segments)


def test_what_is_missing_is_said(run: Run) -> None:
    done = run("top")
    told = "hostler top needs a terminal; hostler ps shows the servers once\n"
    assert (done.returncode, done.stderr) == (2, told)
    without = "import sys; sys.modules['textual'] = None; from hostler.cli import main; main(['top'])"
    done = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=False)
    told = "hostler top needs textual: pip install 'hostler[top]'\n"
    assert (done.returncode, done.stderr) == (2, told)


def test_without_a_hostler_it_ends_with_code_3(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "hostler.toml").write_text(server_table())
    for words, told, code in (
        ((), "start one: hostler up", 3),
        (("other.toml",), "there is no file other.toml", 2),
        (("--socket", "gone.sock"), "no hostler supervises gone.sock now", 3),
    ):
        terminal = Terminal(tmp_path, environ, "top", *words)
        assert terminal.end() == code
        assert told in terminal.text


def test_with_one_that_cannot_be_talked_to_it_ends_with_code_5(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    with short_folder() as folder, ScriptedServer(folder, [b"who is there?\r\n\r\n"]) as other:
        terminal = Terminal(tmp_path, environ, "top", "--socket", other.path)
        assert terminal.end() == 5
    assert "hostler cannot be talked to" in terminal.text


def test_garbage_is_collected_as_long_as_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen in a process of its own would tell it by its memory, after minutes."""
    collected: list[bool] = []
    monkeypatch.setattr("hostler.cli.top._require_hostler", lambda *_: None)
    monkeypatch.setattr(Top, "run", lambda _: collected.append(gc.isenabled()))
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    with pytest.raises(SystemExit):
        main(["top"])
    assert collected == [True]


@pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux here")
def test_it_works_in_tmux(project: Path, environ: dict[str, str], run: Run, tmp_path: Path) -> None:
    tmux = ["tmux", "-L", f"hostler-{os.getpid()}", "-f", "/dev/null"]

    def call(*words: str) -> str:
        done = subprocess.run(
            [*tmux, *words], capture_output=True, text=True, check=True, env=environ, cwd=project
        )
        return done.stdout

    def seen(text: str) -> None:
        deadline = time.monotonic() + 20
        while text not in (screen := call("capture-pane", "-p", "-t", "it")):
            assert time.monotonic() < deadline, screen
            time.sleep(0.05)

    # A shell tells its end: of a pane whose program has ended, tmux does not always say so.
    shell = f"{shlex.join([*HOSTLER, 'top'])}; echo ended: $?; exec sleep 600"
    call("new-session", "-d", "-s", "it", "-x", "80", "-y", "24", shell)
    call("set-option", "-s", "set-clipboard", "on")
    try:
        seen("2 running")
        call("send-keys", "-t", "it", "Down")
        seen("]0;owned�[bold]a[/bold]  b red")
        assert call("display-message", "-p", "-t", "it", "#{pane_title}") != "owned\n"
        call("send-keys", "-t", "it", "r")
        seen("restart talker?")
        call("send-keys", "-t", "it", "y")
        seen("run 2 began")
        call("send-keys", "-t", "it", "Up", "y")
        seen("copied: http://")
        assert call("show-buffer") == servers(run)["fake"]["url"]
        call("send-keys", "-t", "it", "C-c")
        seen("ended: 0")
    finally:
        call("kill-server")
    assert all(row["state"] == "running" for row in servers(run).values())
