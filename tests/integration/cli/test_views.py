"""What people see of each event, plainly and on a terminal."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
from hostler import (
    Configuration,
    Endpoint,
    EndpointFound,
    Event,
    HealthReported,
    Line,
    MemorySampled,
    Notice,
    PluginFailed,
    PluginSpec,
    Progress,
    RestartScheduled,
    ServerSpec,
    State,
    StateChanged,
)
from hostler.cli.output.renderer import label
from hostler.cli.output.terminal import TerminalView
from hostler.cli.output.views import JsonView, PlainView, View

ONE = Configuration({"web": ServerSpec(name="web")})
HEAD: dict[str, Any] = {"server": "web", "generation": 1}


def state(to: State, previous: State = State.STOPPED, **fields: Any) -> StateChanged:
    return StateChanged(**HEAD, state=to, previous=previous, **fields)


def plain(*events: Event, debug: bool = False, quiet: bool = False) -> list[str]:
    out = io.StringIO()
    view = PlainView(ONE, out, debug=debug, quiet=quiet)
    for event in events:
        if not view.ignores(event):
            view.show(event)
    return out.getvalue().splitlines()


class FakeTerminal(io.StringIO):
    """Text that says that it is a terminal: what rich asks for."""

    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> tuple[TerminalView, FakeTerminal]:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = FakeTerminal()
    return TerminalView(ONE, out, debug=True), out


def test_what_people_need_to_know_is_a_line_each() -> None:
    told = plain(
        state(State.STARTING),
        Progress(**HEAD, text="installing", fraction=0.1),
        Progress(**HEAD, text="installing", fraction=0.1),
        Progress(**HEAD, text="unpacking"),
        state(State.WAITING_READY, pid=7),
        EndpointFound(**HEAD, endpoint=Endpoint("127.0.0.1", 80), source="x"),
        HealthReported(**HEAD, plugin="sse", healthy=False, reason="not yet"),
        state(State.RUNNING, pid=7, url="http://127.0.0.1:80", seconds=1.26),
        HealthReported(**HEAD, plugin="sse", healthy=True),
        HealthReported(**HEAD, plugin="sse", healthy=False, reason="503", failures=2),
        MemorySampled(**HEAD, rss=2**20, processes=1, uptime=60.0),
        PluginFailed(**HEAD, plugin="x", hook="on_ready", reason="kaput"),
        state(State.CRASHED, reason="exit code 1"),
        RestartScheduled(**HEAD, used=1, allowed=5, delay=0.5),
        state(State.BACKOFF),
        state(State.STOPPING),
        state(State.STOPPED),
    )
    assert told == [
        "Starting web server...",
        "web server: installing (10%)",
        "web server: unpacking",
        "web server started on port 80: http://127.0.0.1:80 (pid 7, 1.3 s)",
        "web server: unhealthy (sse, 2 in a row): 503",
        "web server: uses 1 MiB in 1 process after 60 s",
        "web server: plugin x failed in on_ready: kaput",
        "web server crashed: exit code 1",
        "web server: 1 of 5 restarts used, next try in 0.5 s",
        "Shutting down web server...",
        "web server stopped",
    ]


def test_a_server_without_a_port_tells_its_pid() -> None:
    assert plain(state(State.RUNNING, pid=7)) == ["web server started (pid 7)"]


def test_debug_tells_health_and_endpoints_too() -> None:
    events = [
        HealthReported(**HEAD, plugin="sse", healthy=True),
        EndpointFound(**HEAD, endpoint=Endpoint("::1", 80), source="x"),
    ]
    assert plain(*events) == []
    assert plain(*events, debug=True) == [
        "web server: healthy (sse)",
        "web server: listens at http://[::1]:80 (found by x)",
    ]


@pytest.mark.parametrize("quiet", [False, True])
def test_what_never_started_has_not_crashed(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    told = plain(
        state(State.CRASHED, State.STARTING, reason="no folder"),
        state(State.BACKOFF, State.CRASHED, reason="no folder"),
        RestartScheduled(server="web", generation=1, used=1, allowed=1, delay=0.5, first_start=True),
        state(State.CRASHED, State.STARTING, reason="no folder"),
        state(State.FAILED, State.CRASHED, error="web: no folder\n  what to do: make it"),
        quiet=quiet,
    )
    assert told == ([] if quiet else ["web server not started: no folder", "web server: try 2 of 2 in 0.5 s"])
    assert capsys.readouterr().err == "web server not started: no folder\n  what to do: make it\n"


def test_a_failure_goes_to_stderr_even_when_all_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    failed = state(State.FAILED, State.CRASHED, error="web: it failed\n  what to do: this")
    assert plain(failed, quiet=True) == plain(failed) == []
    line = "web server failed: it failed\n  what to do: this\n"
    assert capsys.readouterr().err == line * 2


def test_events_of_no_server_of_ours_are_told_too() -> None:
    notices = [Notice(server=name, generation=0, topic="t", text="a word") for name in ("other", "")]
    assert plain(*notices) == ["other: a word", "hostler: a word"]


@dataclass(eq=False)
class Titled:
    """A plugin that knows what its server is called."""

    title = "OpenCode"


def test_a_server_is_called_by_its_title_its_plugins_or_its_name() -> None:
    plugins = (PluginSpec("x", use="nowhere:X"), PluginSpec("t", instance=Titled()))
    assert label(ServerSpec(name="web")) == "web server"
    assert label(ServerSpec(name="web-server")) == "web-server"
    assert label(ServerSpec(name="web", plugins=plugins)) == "OpenCode server"
    assert label(ServerSpec(name="web", plugins=plugins), many=True) == "OpenCode server web"
    assert label(ServerSpec(name="web", title="My", plugins=plugins)) == "My server"
    secret = ServerSpec(name="web", title="of hunter2-one", secrets=frozenset(["hunter2-one"]))
    assert label(secret) == "of ******** server"


def test_a_title_cannot_forge_a_line_of_output() -> None:
    forged = ServerSpec(name="web", title="My\ndb server stopped\r\n\x1b[2J\t\x85\u2028")
    told = label(forged)
    assert told.splitlines() == [told]
    assert told.startswith("My db server stopped")
    assert told.replace("\ufffd", "").isprintable()


def test_json_says_words_of_its_own_on_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    view = JsonView(out)
    view.show_message("killing what is left")
    view.show_shutdown()
    view.close()
    assert (out.getvalue(), capsys.readouterr().err) == ("", "killing what is left\n")
    view.show_line("web", Line("stderr", 'a "quoted" line', 3, 2))
    told = json.loads(out.getvalue())
    assert {key: told[key] for key in ("event", "stream", "number", "text", "generation")} == {
        "event": "line",
        "stream": "stderr",
        "number": 3,
        "text": 'a "quoted" line',
        "generation": 2,
    }


def test_the_spinner_tells_the_progress_and_ends_with_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    view, out = terminal(monkeypatch)
    view.show(state(State.STARTING))
    view.show(Progress(**HEAD, text="installing", fraction=0.5))
    view.show(state(State.WAITING_READY, State.STARTING, pid=7))
    view.show(state(State.RUNNING, State.WAITING_READY, pid=7))
    view.close()
    assert "installing (50%)" in out.getvalue()
    assert out.getvalue().count("\x1b[?25l") == out.getvalue().count("\x1b[?25h") == 1


LINK = "\x1b]8;;http://x\x07\x1b[2J\x1b\\link\x1b]8;;\x1b\\"
NASTY = f"ev\u202eil \u2066x \u061c\x1b[2J\x1b]0;t\x07 {LINK}\x9b31m \x00 \r over\u2028z \x1b[31mred"


@pytest.mark.parametrize("kind", ["terminal", "plain", "json"])
def test_nothing_that_a_server_says_reaches_a_terminal_as_an_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    out: io.StringIO = io.StringIO()
    view: View = PlainView(ONE, out, debug=True) if kind == "plain" else JsonView(out)

    if kind == "terminal":
        view, out = terminal(monkeypatch)

    view.show_line("web", Line("stdout", NASTY, 1, 1))
    view.show(Notice(**HEAD, topic="t", text=NASTY, level="error"))
    view.show_message(NASTY, error=True)
    view.close()
    told = out.getvalue() + capsys.readouterr().err
    told = re.sub(r"\x1b\[[0-9;]*m|\x1b\[\?25[hl]", "", told)  # colours, and the cursor of the spinner
    assert told.count("red") == 3
    assert [hex(ord(one)) for one in told if not one.isprintable() and one != "\n"] == []


def test_a_title_cannot_play_with_the_terminal_behind_a_spinner(monkeypatch: pytest.MonkeyPatch) -> None:
    view, out = terminal(monkeypatch)
    view.learn_names(Configuration({"web": ServerSpec(name="web", title=NASTY.replace("\0", ""))}))
    view.show(state(State.STARTING))
    view.close()
    assert "Starting ev" in out.getvalue()
    assert not any(
        order in out.getvalue() for order in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\u202e", "\u061c")
    )


def test_output_of_a_server_cannot_play_with_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    view, out = terminal(monkeypatch)
    text = "[bold]:bug:[/bold] \x1b[31mred\x1b[2J\x1b[H\x1b]0;title\x1b\\ plain"
    view.show_line("web", Line("stdout", text, 1, 1))
    view.show(Notice(**HEAD, topic="t", text=text))
    view.show_message("done", error=True)
    told = out.getvalue()
    assert told.count("[bold]:bug:[/bold] ") == 2
    assert not any(sequence in told for sequence in ("\x1b[2J", "\x1b[H", "\x1b]0"))
    assert "\x1b[31mred" in told
    assert told.endswith("\x1b[31mdone\x1b[0m\n")
