"""What `hostler check` sees on this machine, without starting anything."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
from hostler import Directories, from_dict
from hostler.config.preflight.inspector import Inspector
from hostler.config.preflight.observation import Observation
from hostler.process.disk.directories import why_not_writable
from hostler_plugins.opencode import VERSION
from hostler_plugins.opencode.platforms import package_names

PLUGIN = """
from dataclasses import dataclass
from hostler import ProcessSpawnFailed, hookimpl

@dataclass(eq=False)
class Careful:
    how: str = "say"

    def check(self, spec, launch):
        if self.how == "raise":
            raise ProcessSpawnFailed("it is not there", hint="install it")
        if self.how == "break":
            raise KeyError("oops")
        if self.how == "warn":
            yield "warning: how: it warns"
        else:
            yield f"{spec.name} of {launch.cwd.name} has {launch.argv}"

    @hookimpl
    async def on_ready(self): ...
"""


def look(tmp_path: Path, server: Mapping[str, object]) -> list[Observation]:
    (tmp_path / "careful.py").write_text(PLUGIN)
    table = {"command": ["true"], **server}
    configuration = from_dict({"servers": {"web": table}}, base=tmp_path, environ=os.environ)
    directories = Directories(tmp_path / "state", tmp_path / "data", tmp_path / "cache")
    seen = list(Inspector(configuration, directories, os.environ).observations())
    assert not (tmp_path / "state").exists()
    assert not (tmp_path / "data").exists()
    return seen


def test_nothing_is_said_where_all_is_well(tmp_path: Path) -> None:
    plugins = {"regex-port": True, "log-rotation": True, "sse-health": True}
    assert look(tmp_path, {"plugins": plugins}) == []


@pytest.mark.parametrize(
    ("server", "key", "words"),
    [
        ({"command": ["no-such-program"]}, "command", "no-such-program was not found on the PATH"),
        ({"command": ["./gone"]}, "command", "gone does not exist"),
        ({"command": ["./careful.py"]}, "command", "careful.py is not executable"),
        ({"command": ["/tmp"]}, "command", "/tmp is a directory"),
        ({"cwd": "nowhere"}, "cwd", "nowhere does not exist"),
        ({"cwd": "careful.py"}, "cwd", "careful.py is not a directory"),
    ],
)
def test_a_program_or_folder_that_is_missing_is_a_mistake(
    tmp_path: Path, server: dict[str, object], key: str, words: str
) -> None:
    (seen,) = look(tmp_path, server)
    assert (seen.key, seen.severity) == (f"servers.web.{key}", "mistake")
    assert words in seen.message


def test_a_program_is_looked_for_on_the_path_that_the_server_gets(tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "own-tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert look(tmp_path, {"command": ["own-tool"], "env": {"PATH": str(tool.parent)}}) == []


def test_a_word_that_only_the_start_can_fill_in_stays_as_it_is(tmp_path: Path) -> None:
    assert look(tmp_path, {"command": ["true", "${server.port}", "${server.url}"]}) == []


def test_a_port_that_is_taken_is_a_warning_that_names_who_has_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (seen,) = look(tmp_path, {"port": taken.getsockname()[1]})
    assert (seen.key, seen.severity) == ("servers.web.port", "warning")
    assert str(os.getpid()) in seen.message


@pytest.mark.parametrize(
    ("server", "why"),
    [({"port": False}, "port = false"), ({"stdout": "ignore", "stderr": "inherit"}, "is captured")],
)
def test_a_plugin_that_would_never_be_asked_for_the_port_is_named(
    tmp_path: Path, server: dict[str, object], why: str
) -> None:
    (seen,) = look(tmp_path, {**server, "plugins": {"regex-port": True, "env-sanitizer": True}})
    assert (seen.key, seen.severity) == ("servers.web.plugins.regex-port", "warning")
    assert "parse_port is never called" in seen.message
    assert why in seen.message


def test_a_log_file_that_cannot_be_written_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (seen,) = look(tmp_path, {"plugins": {"log-rotation": {"path": str(tmp_path / "file" / "x.log")}}})
    assert (seen.key, seen.severity) == ("servers.web.plugins.log-rotation", "mistake")
    assert f"{tmp_path / 'file'} is not a directory" in seen.message


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "OpenCode is not installed"),
        ({"binary": "gone"}, "gone, is no file"),
        ({"source": "checkout"}, "is no checkout of OpenCode"),
    ],
)
def test_an_opencode_that_is_missing_is_found_before_the_start(
    tmp_path: Path, options: dict[str, object], why: str
) -> None:
    server = {"command": [], "env": {"PATH": "/proc/nowhere", "HOME": str(tmp_path)}}
    seen = look(tmp_path, {**server, "plugins": {"opencode": options}})
    assert [one.key for one in seen] == ["servers.web.plugins.opencode"]
    assert why in seen[0].message


@pytest.mark.parametrize("options", [{}, {"source": "checkout"}])
def test_what_is_to_be_installed_needs_npm_or_bun_before_the_start_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    (tmp_path / "checkout" / "src").mkdir(parents=True)
    (tmp_path / "checkout" / "src" / "index.ts").touch()
    monkeypatch.setenv("PATH", str(tmp_path / "tools"))
    plugins = {"opencode": {"install": "if-missing", **options}}
    server = {"command": [], "env": {"PATH": "/proc/nowhere", "HOME": str(tmp_path)}, "plugins": plugins}
    (seen,) = look(tmp_path, server)
    assert (seen.key, seen.severity) == ("servers.web.plugins.opencode", "mistake")
    assert "neither npm nor bun is installed; install Node.js" in seen.message

    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "npm").touch(mode=0o755)
    assert look(tmp_path, server) == []


def test_what_hostler_has_installed_before_needs_no_npm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/proc/nowhere")
    program = tmp_path / "cache" / "opencode" / f"{package_names()[0]}@{VERSION}" / "bin" / "opencode"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    env = {"PATH": "/proc/nowhere", "HOME": str(tmp_path)}
    plugins = {"opencode": {"install": "if-missing"}}
    assert look(tmp_path, {"command": [], "env": env, "plugins": plugins}) == []


def test_a_command_that_is_a_path_is_the_opencode_that_is_looked_for(tmp_path: Path) -> None:
    (seen,) = look(tmp_path, {"command": ["./opencode"], "plugins": {"opencode": True}})
    assert "opencode, is no file" in seen.message
    assert look(tmp_path, {"command": ["true"], "plugins": {"opencode": True}}) == []


def test_a_plugin_says_itself_what_it_misses(tmp_path: Path) -> None:
    def said(how: str) -> list[tuple[str, str]]:
        plugin = {"use": "careful.py:Careful", "how": how}
        return [(one.message, one.severity) for one in look(tmp_path, {"plugins": {"careful": plugin}})]

    assert said("say") == [(f"web of {tmp_path.name} has ['true']", "mistake")]
    assert said("warn") == [("it warns", "warning")]
    assert said("raise") == [("it is not there; install it", "mistake")]
    assert said("break") == [("its check failed: KeyError: 'oops'", "warning")]


def test_folders_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    configuration = from_dict({"servers": {"web": {"command": ["true"]}}}, base=tmp_path)
    directories = Directories(tmp_path / "file" / "state", tmp_path / "file" / "data", tmp_path / "cache")
    messages = [one.message for one in Inspector(configuration, directories, os.environ).observations()]
    assert [message.partition(" cannot")[0] for message in messages] == ["logs", "run records and locks"]
    assert all(f"{tmp_path / 'file'} is not a directory" in message for message in messages)


def test_what_another_user_owns_cannot_be_written(tmp_path: Path) -> None:
    assert why_not_writable(tmp_path / "a" / "b") == ""
    assert why_not_writable(tmp_path) == ""
    assert why_not_writable(tmp_path / ("x" * 300)).endswith("File name too long")

    if os.geteuid() == 0:  # root may write everywhere, so somebody else is asked
        os.setresuid(65534, 65534, 0)
        try:
            assert why_not_writable(Path("/etc/hostler")) == "/etc may not be written by this user"
        finally:
            os.setresuid(0, 0, 0)


def test_a_user_and_a_group_that_are_not_there_are_mistakes(tmp_path: Path) -> None:
    def said(**keys: object) -> list[tuple[str, str]]:
        return [(one.key, one.message) for one in look(tmp_path, keys)]

    hint = "correct user, or create the account"
    assert said(user="no-such-user") == [("servers.web.user", f"there is no user no-such-user; {hint}")]
    assert said(group="no-such-group") == [
        ("servers.web.group", "there is no group no-such-group; correct group, or create it")
    ]
    assert said(user=str(os.geteuid()), group=str(os.getegid())) == []


def test_programs_that_commands_would_not_find_are_mistakes(tmp_path: Path) -> None:
    commands = {"on_ready": ["./warm-up"], "on_crash": ["true"], "on_shutdown": ["no-such-program"]}
    assert [(one.key, one.message) for one in look(tmp_path, {"plugins": {"commands": commands}})] == [
        ("servers.web.plugins.commands.on_ready", "there is no program ./warm-up"),
        ("servers.web.plugins.commands.on_shutdown", "there is no program no-such-program"),
    ]


LONE = "$$ stands for one $, so the shell finds a lone $; write $$$$ for its process id"
NO_SHELL = "no shell is used: $PORT is handed on as it is; write ${PORT}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sh", "-c", "kill -9 $$"], LONE),
        (["env", "A=1", "/bin/bash", "-o", "pipefail", "-c", 'echo "$$"; true'], LONE),
        (["sh", "-c", "echo $$$$ $$HOME $${HOME} $$(date) $1 $$1"], ""),
        (["true", "kill $$"], ""),
        (["true", "$PORT"], NO_SHELL),
        (["true", "a", "|", "tee", "log"], "no shell is used: | is handed on as a word; write"),
        (["expr", "2", ">", "1"], ""),
        (["true", "--listen=127.0.0.1:$PORT", "$PORT"], NO_SHELL),
        (["true", "$$PORT", "${HOME}", "{print $NF}", "^a$", "a$b"], ""),
        (["sh", "-c", "exec $PORT", "sh", "$PORT"], ""),
        (["true", "--port=$server.port"], "$server.port is handed on as it is; write ${server.port}"),
        (["sh", "-c", "x {{ server.url }}"], "{{ server.url }} is handed on as it is; write ${server.url}"),
        (["true", "${server.name}", "$$server.port", "the server.port"], ""),
    ],
)
def test_dollars_that_no_shell_sees_and_those_that_a_shell_sees_otherwise_are_warned_of(
    tmp_path: Path, words: list[str], message: str
) -> None:
    seen = look(tmp_path, {"command": words, "port": False})
    assert [one.message.startswith(message) for one in seen] == [True] * bool(message)
    assert all(one.severity == "warning" and one.key == "servers.web.command" for one in seen)
    plugins = {"commands": {"on_ready": words}}
    assert len(look(tmp_path, {"port": False, "plugins": plugins})) == len(seen)


@pytest.mark.parametrize(
    ("server", "port"),
    [
        ({"command": ["true", "--port", "8123"]}, 8123),
        ({"command": ["true", "--port=8123", "--bind", "${server.host}"]}, 8123),
        ({"command": ["true", "-p", "8123", "--bind=127.0.0.1:9"]}, 8123),
        ({"command": ["true", "-m", "http.server", "8123"]}, 8123),
        ({"command": ["true", "runserver", "[::1]:8123"]}, 8123),
        ({"command": ["true", "-S", "localhost:8123"]}, 8123),
        ({"command": ["true", "--port", "8123"], "port": 8123}, None),
        ({"command": ["true", "--port", "8123"], "port": False}, None),
        ({"command": ["true", "--port", "8123"], "port_from_socket": True}, None),
        ({"command": ["true", "--port", "8123"], "plugins": {"regex-port": True}}, None),
        ({"command": ["true", "--port", "${server.port}", "-p", "8123"]}, None),
        ({"command": ["true", "-p", "8123"], "env": {"PORT": "${server.port}"}}, None),
        ({"command": ["true", "--upstream", "127.0.0.1:8123", "-p", "8080:80", "--port"]}, None),
    ],
)
def test_a_port_in_the_command_of_a_server_that_is_looked_for_elsewhere_is_warned_of(
    tmp_path: Path, server: dict[str, object], port: int | None
) -> None:
    seen = [one for one in look(tmp_path, server) if one.key == "servers.web.command"]
    assert [(one.severity, f"write port = {port}," in one.message) for one in seen] == [
        ("warning", True)
    ] * bool(port)


def test_names_that_differ_by_case_alone_are_warned_of(tmp_path: Path) -> None:
    servers = {name: {"command": ["true"], "port": False} for name in ("web", "api", "Web")}
    configuration = from_dict({"servers": servers}, base=tmp_path, environ=os.environ)
    directories = Directories(tmp_path / "state", tmp_path / "data", tmp_path / "cache")
    (seen,) = Inspector(configuration, directories, os.environ).observations()
    assert (seen.key, seen.severity) == ("servers.Web", "warning")
    assert "differs from web" in seen.message
