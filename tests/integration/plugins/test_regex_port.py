from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any, cast

import pluggy
import pytest
from hostler import Directories, Endpoint, StreamName, Supervisor, from_dict
from hostler import hooks as specifications
from hostler_plugins import regex_port
from hostler_plugins.regex_port import RegexPort
from launches import a_launch


class Notices:
    """Only what `pre_spawn` uses of a server: a real one would spawn a process to say one sentence."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def notice(self, topic: str, text: str, *, level: str = "info", **_details: object) -> None:
        self.seen.append((topic, level, text))


def found(plugin: RegexPort, line: str, stream: StreamName = "stdout") -> Endpoint | None:
    return plugin.parse_port(line, stream)


def test_the_plugin_is_registered_and_asked_like_any_other() -> None:
    manager = pluggy.PluginManager("hostler")
    manager.add_hookspecs(specifications)
    manager.register(RegexPort(), "regex-port")
    manager.check_pending()

    line = "opencode server listening on http://127.0.0.1:4096"
    assert manager.hook.parse_port(server=None, line=line, stream="stdout") == [Endpoint("127.0.0.1", 4096)]


def test_the_pure_function_can_be_imported_from_the_plugin() -> None:
    assert regex_port.find_endpoint("listening on :8080") == Endpoint("127.0.0.1", 8080)


def test_both_streams_are_read_unless_told_otherwise() -> None:
    line = "listening on http://127.0.0.1:4096"

    assert (
        found(RegexPort(), line, "stdout")
        == found(RegexPort(), line, "stderr")
        == Endpoint("127.0.0.1", 4096)
    )


@pytest.mark.parametrize(("chosen", "other"), [("stdout", "stderr"), ("stderr", "stdout")])
def test_one_stream_can_be_chosen(chosen: StreamName, other: StreamName) -> None:
    for pattern in ("", r"on (?P<url>\S+)"):
        plugin = RegexPort(pattern=pattern, stream=chosen)

        assert found(plugin, "listening on http://127.0.0.1:4096", chosen) == Endpoint("127.0.0.1", 4096)
        assert found(plugin, "listening on http://127.0.0.1:4096", other) is None


OWN = [
    (r"listening on (?P<url>\S+)", "listening on http://127.0.0.1:4096", Endpoint("127.0.0.1", 4096)),
    (r"on (?P<url>\S+)", "up on https://[::1]:4096/, enjoy", Endpoint("::1", 4096, "https")),
    (r"on (?P<url>\S+)", "up on http://::1:4096", Endpoint("::1", 4096)),
    (r"on (?P<url>\S+)", "up on 127.0.0.1:4096.", Endpoint("127.0.0.1", 4096)),
    (r"on (?P<url>\S+)", "up on http://localhost", Endpoint("localhost", 80)),
    (r"on (?P<url>\S+)", "up on nothing", None),
    (r"door (?P<port>\d+)", "door 4096", Endpoint("127.0.0.1", 4096)),
    (r"door (?P<port>\S+)", "door blue", None),
    (r"door (?P<port>\d+)", "door 0", None),
    (r"door (?P<port>\d+)", "door 65536", None),
    (r"door (?P<port>\d+)", "door " + "9" * 5000, None),
    (r"door (?P<port>\d+)", "door \u0664\u0660\u0669\u0666", None),
    (r"(?P<host>\S+) door (?P<port>\d+)", "[::1] door 4096", Endpoint("::1", 4096)),
    (r"(?P<host>\S+)? door (?P<port>\d+)", " door 4096", Endpoint("127.0.0.1", 4096)),
    (r"(?P<scheme>\w+) door (?P<port>\d+)", "HTTPS door 4096", Endpoint("127.0.0.1", 4096, "https")),
    (
        r"(?P<url>\S+) behind (?P<host>\S+) (?P<port>\d+)",
        "http://a:1/ behind b 2",
        Endpoint("b", 2),
    ),
    (r"door (?P<port>\d+)", "door \x1b[1m40\x1b[0m96", Endpoint("127.0.0.1", 4096)),
    (r"^connecting to (?P<url>\S+)$", "connecting to http://a:4096", Endpoint("a", 4096)),
    (r"door (?P<port>\d+)", "listening on http://127.0.0.1:4096", None),
]


@pytest.mark.parametrize(("pattern", "line", "endpoint"), OWN)
def test_an_own_pattern_decides_alone(pattern: str, line: str, endpoint: Endpoint | None) -> None:
    assert found(RegexPort(pattern=pattern), line) == endpoint


def test_the_first_of_several_patterns_that_gives_an_endpoint_wins() -> None:
    plugin = RegexPort(pattern=[r"port (?P<port>\S+)", r"at (?P<url>\S+)"])

    assert found(plugin, "port 1 at http://a:2") == Endpoint("127.0.0.1", 1)
    assert found(plugin, "port blue at http://a:2") == Endpoint("a", 2)
    assert found(plugin, "at http://a:2") == Endpoint("a", 2)
    assert found(plugin, "neither") is None


@pytest.mark.parametrize("nothing", ["", [], [""]])
def test_without_a_pattern_announcements_are_recognized(nothing: str | list[str]) -> None:
    assert found(RegexPort(pattern=nothing), "listening on 127.0.0.1:4096") == Endpoint("127.0.0.1", 4096)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"listening on (\S+)", ["pattern:", "(?P<url>...)", "(?P<port>...)"]),
        (r"(?P<host>\S+)", ["pattern:", "(?P<url>...)"]),
        (r"(?P<port>\d+", ["pattern:", "no regular expression", "missing )"]),
    ],
)
def test_a_pattern_that_cannot_work_is_refused_with_the_reason(pattern: str, words: list[str]) -> None:
    for given in (pattern, [r"(?P<port>\d+)", pattern]):
        with pytest.raises(ValueError, match="pattern") as error:
            RegexPort(pattern=given)
        assert all(word in str(error.value) for word in [*words, repr(pattern)])


def test_patterns_are_read_again_when_an_option_was_filled_in_later() -> None:
    plugin = RegexPort(pattern=r"door (?P<port>\d+)")
    plugin.pattern = r"gate (?P<port>\d+)"
    plugin.__post_init__()

    assert found(plugin, "gate 4096") == Endpoint("127.0.0.1", 4096)
    assert found(plugin, "door 4096") is None


@pytest.mark.parametrize(
    ("pattern", "warned"),
    [
        (r"(a+)+ (?P<port>\d+)", True),
        (r"(?:\w+\s?)* port (?P<port>\d+)", True),
        (r"(?:[a-z]{1,9})* (?P<port>\d+)", True),
        (r"listening on (?P<url>\S+)", False),
        (r"(?:tcp|http) (?P<port>\d+)", False),
        ("", False),
    ],
)
async def test_a_pattern_that_repeats_a_repeat_is_warned_of(
    pattern: str, warned: bool, tmp_path: Path
) -> None:
    server: Any = Notices()
    await RegexPort(pattern=pattern).pre_spawn(server, a_launch(tmp_path))

    assert [(topic, level) for topic, level, _ in server.seen] == [("slow_pattern", "warning")] * warned
    assert all(pattern in text.replace("\\\\", "\\") for _, _, text in server.seen)


async def test_what_the_first_line_needs_is_prepared_while_the_child_starts(tmp_path: Path) -> None:
    launch, server = a_launch(tmp_path), Notices()
    await RegexPort().pre_spawn(cast("Any", server), launch)

    assert [function() for function in launch.warm_ups] == [Endpoint("127.0.0.1", 4096)]


def test_the_options_tell_what_they_mean() -> None:
    plugin = RegexPort()

    assert (plugin.pattern, plugin.stream) == ("", "any")
    assert "backtracks" in (inspect.getdoc(RegexPort) or "")


TOKEN = "13a168a40502d3952e0a63e77b"
PRINTS = """
import http.server, os, sys
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
print(f"http://127.0.0.1:{server.server_port}/lab?token={os.environ['GIVEN']}", flush=True)
print(f"workspace: blue, token={os.environ['GIVEN']}", flush=True)
server.serve_forever()
"""
PATTERNS = [r"(?P<url>http://\S+)/lab\?token=(?P<token>\w+)", r"workspace: (?P<space>\w+)"]


def printing(patterns: list[str]) -> dict[str, Any]:
    python = [sys.executable, "-I", "-S", "-u", "-c"]
    reader = [
        *python,
        "import os; print(os.environ['HOSTLER_TOKEN_MY_LAB'], os.environ['HOSTLER_SPACE_MY_LAB'])",
    ]
    lab = {
        "command": [*python, PRINTS],
        "env": {"GIVEN": TOKEN},
        "plugins": {"regex-port": {"pattern": patterns}, "log-ready": {"pattern": "^workspace"}},
    }
    return {"servers": {"my-lab": lab, "reader": {"kind": "task", "command": reader, "needs": ["my-lab"]}}}


@pytest.mark.parametrize("patterns", [PATTERNS, [r"token=(?P<token>\w+)", PATTERNS[1]]])
async def test_what_other_groups_hold_is_published_to_dependents_and_commands_and_a_secret_is_masked(
    patterns: list[str], directories: Directories
) -> None:
    configuration = from_dict(printing(patterns), base=Path.cwd())
    async with Supervisor(configuration, directories=directories) as supervisor:
        lab, read = supervisor["my-lab"], supervisor["reader"].lines()
        shown = lab.lines()
        for run in range(2):  # the second prints what is known and masked by then
            await supervisor["reader"].wait_completed(20)
            assert lab.child_env({}) == {"HOSTLER_TOKEN_MY_LAB": TOKEN, "HOSTLER_SPACE_MY_LAB": "blue"}
            assert (await anext(read)).text == "******** blue"
            assert (await anext(shown)).text.endswith("/lab?token=********")
            assert (await anext(shown)).text == "workspace: blue, token=********"
            if not run:
                await lab.restart()
                await lab.wait_ready(20)
                await supervisor["reader"].restart()
