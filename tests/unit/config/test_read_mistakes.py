"""What is said of files that are not TOML, and of files and names that are nearly right."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostler import load
from hostler.errors import InvalidConfiguration


def first_line(path: Path) -> str:
    with pytest.raises(InvalidConfiguration) as caught:
        load(path, environ={})
    (problem,) = caught.value.problems
    return str(problem).partition("\n")[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("host = localhost", "2:8: not valid TOML: Invalid value; a text needs quotes"),
        ("cwd = \u201cx\u201d", '2:7: not valid TOML: Invalid value; write straight quotes, "'),
        (
            "autostart = yes # always",
            "2:13: not valid TOML: Invalid value; write true, or quotes around a text",
        ),
        ("autostart = Off", "2:13: not valid TOML: Invalid value; write false, or quotes around a text"),
        ("user = None", "2:8: not valid TOML: Invalid value; TOML has no null: leave the key out"),
        ("title = on fire", "2:9: not valid TOML: Invalid value; a text needs quotes"),
        ("cwd: x", "2:4: not valid TOML: Expected '=' after a key in a key/value pair; TOML has = where "),
        (
            "[program:web]",
            "2:9: not valid TOML: Expected ']' at the end of a table declaration; a server is ",
        ),
        ("// x", "2:1: not valid TOML: Invalid statement; a comment begins with #"),
        ("{}", "2:1: not valid TOML: Invalid statement; this is no TOML: a server is [servers.NAME]"),
        ("command = [true, sleep]", "2:18: not valid TOML: Invalid value; a text needs quotes"),
        ('title = "x\n', r"2:11: not valid TOML: Illegal character '\n'; is a quote missing at the end?"),
        (
            "port = 1\nport = 2",
            "3:9: not valid TOML: port stands twice: this key is there already, in line 2",
        ),
        (
            "[servers.web]",
            "2:13: not valid TOML: [servers.web] stands twice: write its keys below the first one, in line 1",
        ),
        (
            "env = {}\n[servers.web.env]",
            "3:17: not valid TOML: servers.web.env has a value already, in line 2: write all its keys there",
        ),
        ('env = { A = "1", A = "2" }', "2:25: not valid TOML: Duplicate inline table key 'A': leave one"),
        ("command = <<EOF", "2:11: not valid TOML: Invalid value; TOML has no here-document: lines "),
        ("title =", "2:8: not valid TOML: Invalid value; a value is missing: write one"),
        ('title == "x"', "2:8: not valid TOML: Invalid value; one = stands between a key and its value"),
        ('command = ("true")', "2:11: not valid TOML: Invalid value; a list stands between [ and ]"),
        ('command = ["true" "x"]', "2:19: not valid TOML: Unclosed array; is a comma or a ] missing "),
        ("env = { A = 1", "2:14: not valid TOML: Unclosed inline table; a } is missing at the end"),
        ("env = { A = 1s }", "2:14: not valid TOML: Unclosed inline table; a text needs quotes"),
        ('title = """', '2:12: not valid TOML: Unterminated string; three quotes, """, are missing at '),
        ("[servers.x", "2:11: not valid TOML: Expected ']' at the end of a table declaration; write ] at "),
        (
            'command\u00a0= "x"',
            "2:8: not valid TOML: Expected '=' after a key in a key/value pair; this is NO-",
        ),
        (
            "-- x",
            "2:4: not valid TOML: Expected '=' after a key in a key/value pair; a comment begins with #",
        ),
        (
            'command "x"',
            "2:9: not valid TOML: Expected '=' after a key in a key/value pair; write command = ",
        ),
        (
            "startup timeout = 1",
            "2:9: not valid TOML: Expected '=' after a key in a key/value pair; a key has ",
        ),
        (
            "npm start",
            "2:5: not valid TOML: Expected '=' after a key in a key/value pair; each line is KEY = ",
        ),
        ("port = 80,", "2:10: not valid TOML: Expected newline or end of document after a statement; no , "),
        (
            'title = "a" + "b"',
            "2:13: not valid TOML: Expected newline or end of document after a statement; TO",
        ),
        (
            "port = 080",
            "2:9: not valid TOML: Expected newline or end of document after a statement; a number ",
        ),
        (
            "task_timeout = 5m",
            "2:17: not valid TOML: Expected newline or end of document after a statement; a te",
        ),
        (
            "title = 'it's'",
            "2:13: not valid TOML: Expected newline or end of document after a statement; a quo",
        ),
        ("<<<<<<< HEAD", "2:1: not valid TOML: a merge conflict is left in the file; resolve it"),
        ("restart = {\n}", "2:12: not valid TOML: Invalid initial character for a key part; { ... } has to "),
        (
            'restart = { policy = "never", }',
            "2:31: not valid TOML: Invalid initial character for a key part; {",
        ),
        (
            'cwd = "C:\\Users"',
            r"2:12: not valid TOML: Invalid hex value; in double quotes a \ is written \\, ",
        ),
        ('cwd = "C:\\web"', r"2:12: not valid TOML: Unescaped '\' in a string; in double quotes a \ is "),
    ],
)
def test_a_mistake_in_toml_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_text(f"[servers.web]\n{text}\n")
    assert first_line(Path("a.toml")).startswith(f"a.toml:{said}")


def test_a_table_that_goes_on_elsewhere_than_where_it_was_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_text('[servers.web]\nrestart = {}\nrestart.policy = "never"\n')
    said = "servers.web.restart has a value already, in line 2: write all its keys there"
    assert said in first_line(Path("a.toml"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[Unit]\nDescription=x\n[Service]\nExecStart=/x -y\n",
            "this is a unit of systemd; write [servers",
        ),
        (
            "[program:web]\ncommand=x\n",
            "this looks like supervisord.conf; save it by that name, and run",
        ),
        ("module.exports = {\n}\n", "this looks like ecosystem.config.js; save it by that name"),
        ('version: "3"\nservices:\n  web:\n', "this looks like compose.yaml; save it by that name"),
        ("processes:\n  web:\n", "this looks like process-compose.yaml; save it by that name"),
        ("# x\nweb: npm start\n\nworker: node w.js\n", "this looks like Procfile; save it by that name"),
        ('{\n  "servers": {}\n}\n', "this is JSON; here a server is a table [servers.NAME]"),
        ("<?xml version='1.0'?>\n", "this is XML; here a server is a table [servers.NAME]"),
        ("#!/bin/sh\nexec x\n", "this is a script of a shell; here a server is a table"),
        ("---\nservers:\n", "this is YAML; here a server is a table"),
        ("A=b\nC=d\n", "these are variables; name this file in a server, env_file"),
        ("[x]\rport = 0\r", "its lines end with a carriage return alone; save the file with line feeds"),
    ],
)
def test_a_file_in_another_language_is_told_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_bytes(text.encode())
    assert first_line(Path("a.toml")).partition("not valid TOML: ")[2].startswith(said)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_told_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_bytes("[servers.web]\n".encode(encoding))
    assert first_line(Path("a.toml")) == "a.toml:1: UTF-16, not UTF-8; save the file as UTF-8"


def test_a_missing_file_is_told_with_its_likely_neighbour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d").mkdir()
    Path("d/base.toml").write_text("")
    Path("a.toml").write_text('extends = ["d/bsae.toml"]\n')
    said = 'a.toml:1: extends[0]: "d/bsae.toml" cannot be read: there is no such file'
    assert first_line(Path("a.toml")) == f'{said}; did you mean "d/base.toml"?'
    Path("a.toml").write_text('extends = ["nowhere/base.toml"]\n')
    assert first_line(Path("a.toml")).endswith("there is no such file")


def test_a_misspelt_command_is_one_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_text('[servers.web]\ncomand = ["true"]\n')
    assert first_line(Path("a.toml")) == 'a.toml:2: servers.web.comand: unknown key; did you mean "command"?'


@pytest.mark.parametrize(
    ("plugin", "key"),
    [
        ('file-ready = { path = "~no-such-user/x" }', "file-ready.path"),
        ('log-rotation = { path = "~no-such-user/x" }', "log-rotation.path"),
        ('watch-files = { paths = ["~no-such-user/x"] }', "watch-files.paths[0]"),
        ('opencode = { binary = "~no-such-user/x" }', "opencode.binary"),
        ('http-health = { ca = "~no-such-user/x" }', "http-health.ca"),
    ],
)
def test_the_home_of_nobody_is_a_mistake_of_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: str, key: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_text(f'[servers.web]\ncommand = ["true"]\nplugins = {{ {plugin} }}\n')
    said = 'expected a home directory that exists, found "~no-such-user/x"'
    assert first_line(Path("a.toml")) == f"a.toml:3: servers.web.plugins.{key}: {said}"
