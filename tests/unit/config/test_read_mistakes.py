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
        ("port = 1\nport = 2", "3:9: not valid TOML: Cannot overwrite a value: this key is there "),
        (
            "[servers.web]",
            "2:13: not valid TOML: Cannot declare ('servers', 'web') twice: write the keys of ",
        ),
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
    assert "it was written as { ... } above" in first_line(Path("a.toml"))


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
