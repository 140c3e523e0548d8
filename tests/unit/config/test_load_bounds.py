"""Reading a configuration ends, and what it grows to has a bound."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hostler.config.load import load
from hostler.errors import InvalidConfiguration
from hostler.files.bounded_read import read_plain
from hostler.model.schema import diagnostics

Write = Callable[[str, str], Path]
SERVER = '[servers.web]\ncommand = ["true"]\nport = false\n'
LONG = "x" * 100_000


def mistakes_in(path: Path, **environ: str) -> str:
    with pytest.raises(InvalidConfiguration) as caught:
        load(path, environ=environ)
    return str(caught.value)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.parametrize("make", [os.mkfifo, a_socket, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize(
    "text",
    [None, 'extends = ["other"]\n', f'{SERVER}plugins = {{ p = {{ use = "./other.py:P" }} }}\n'],
    ids=["configuration", "extends", "plugin"],
)
def test_what_is_no_file_is_told_at_once_wherever_a_file_is_expected(
    write: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], None],
    text: str | None,
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    make(Path("other.py" if text and "plugin" in text else "other"))
    told = mistakes_in(tmp_path / "other" if text is None else write("a.toml", text))
    assert any(f"cannot be read: {why}" in told for why in ("it is a", "Is a directory", "No such device"))


def test_a_pipe_that_we_were_given_is_read_to_its_end() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as pipe:
        pipe.write(SERVER)
        pipe.close()
        assert list(load(f"/dev/fd/{reading}", environ={}).servers) == ["web"]


def test_a_pipe_that_nobody_closes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hostler.files.bounded_read._PIPE_TIMEOUT", 0.1)
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w"):
        assert "the pipe was not closed within 0.1 s" in mistakes_in(Path(f"/dev/fd/{reading}"))


WEB = '[servers.web]\ntemplate = "t"\n'
OF_VARIABLES = '[servers.web.env]\nA = "' + "${LONG}" * 400 + '"\n'
OF_PARAMETERS = f'[templates.t]\nparameters = {{ p = "{LONG}" }}\nenv.A = "' + "${parameter.p}" * 400 + '"\n'
OF_LISTS = f"[templates.t]\nparameters = {{ p = {['x' * 1000] * 100} }}\n"
OF_LISTS += f"needs = {['${parameter.p}'] * 400}\n"
OF_TEMPLATES = "[templates.t]\nenv = { " + ", ".join(f"A{number} = 1" for number in range(2000)) + " }\n"
MANY = "".join(f'[servers.s{number}]\ntemplate = "t"\n' for number in range(40))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (OF_VARIABLES, "a.toml:2: servers.web.env.A: "),
        (OF_PARAMETERS + WEB, "a.toml:3: servers.web.env.A: "),
        (OF_LISTS + WEB, "a.toml:3: servers.web.needs["),
    ],
    ids=["variable", "parameter", "list"],
)
def test_a_configuration_that_grows_beyond_a_limit_is_refused_with_the_place(
    write: Write, text: str, place: str
) -> None:
    told = mistakes_in(write("a.toml", text), LONG=LONG)
    assert place in told
    assert "fill in is larger than 32 MiB" in told


def test_a_template_that_is_used_too_often_is_refused_with_the_place(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnostics, "_MOST_FILLED", 2**20)  # of keys alone, 32 MiB are seconds of reading
    told = mistakes_in(write("a.toml", OF_TEMPLATES + MANY))
    assert "a.toml:2: servers.s" in told
    assert "fill in is larger than 1 MiB" in told


def test_of_a_pipe_that_never_ends_no_more_is_read_than_was_asked_for() -> None:
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless:
        assert endless.stdout is not None
        try:
            data, _ = read_plain(Path(f"/dev/fd/{endless.stdout.fileno()}"), 100_000)
        finally:
            endless.kill()
    assert len(data) == 100_000


def test_of_a_file_no_more_is_read_than_was_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(bytes(300_000))
    assert len(read_plain(file, 100_000)[0]) == 100_000
