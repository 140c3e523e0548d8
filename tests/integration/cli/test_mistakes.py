"""A mistake is told in words, with exit code 2, and never with a traceback."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hostler_process import Configure, Done, Run


def check_told(done: Done, code: int = 2) -> None:
    assert done.returncode == code, (done.returncode, done.stderr)
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr + done.stdout
    assert "Error:" not in done.stderr.replace("\nError: ", "")


@pytest.mark.parametrize("command", ["run", "check", "show", "crashes", "explain"])
def test_without_a_file_hostler_toml_is_looked_for_here(run: Run, command: str) -> None:
    done = run(command)
    check_told(done)
    assert "hostler.toml: there is no such file; hostler init writes one" in done.stderr


@pytest.mark.parametrize("command", ["run", "check", "show"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "[servers.web]\ncommand = [",
        "extends = ['hostler.toml']",
        "[servers.web]\ncommand = ['x']\nneeds = ['db']",
        "[servers.web]\ncommand = ['x']\n[servers.web.plugins]\nmine = { use = 'nowhere.py:Mine' }",
        "[servers.web]\ncommand = ['x']\n[servers.web.plugins]\nregex-port = { pattern = '(' }",
        "\0",
    ],
)
def test_a_file_that_cannot_be_used_is_told(configure: Configure, run: Run, command: str, text: str) -> None:
    configure(text=text)
    done = run(command)
    if command == "show" and done.returncode == 0:
        return  # what can be merged can be shown
    check_told(done)
    assert done.stdout == ""


@pytest.mark.parametrize(
    "words",
    [
        ("bogus",),
        ("run", "--bogus"),
        ("run", "hostler.toml", "nobody"),
        ("run", "/"),
        ("check", "/"),
        ("run", "no/such/place.toml"),
        ("check", "hostler.toml", "more"),
        ("plugins", "../x"),
        ("explain", "nobody"),
        ("explain", ""),
        ("explain", "hostler.toml", "fake", "more"),
        ("explain", "nowhere.toml"),
        ("crashes", "hostler.toml", "nobody"),
        ("crashes", "fake", "--number", "1"),
        ("crashes", "fake", "--number", "0"),
        ("crashes", "fake", "--number", "1", "--last"),
        ("crashes", "\udcff"),
        ("plugins", ""),
        ("run", ""),
        ("run", "hostler.toml", ""),
        ("run", "--"),
        ("--", "run"),
        ("run", "\udcff"),
    ],
)
def test_a_call_that_makes_no_sense_is_told(configure: Configure, run: Run, words: tuple[str, ...]) -> None:
    configure()
    check_told(run(*words))


def test_a_file_that_may_not_be_read_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hostler.toml").write_bytes(b"\xff\xfe\x00")
    check_told(run("check"))
    check_told(run("check", "/proc/self/mem"))


def test_a_state_directory_that_cannot_be_made_is_a_failure_in_words(
    configure: Configure, run: Run, environ: dict[str, str], tmp_path: Path
) -> None:
    configure()
    (tmp_path / "state").write_text("a file")
    done = run("run", env=environ)
    check_told(done, 1)
    assert str(tmp_path / "state") in done.stderr


def test_random_calls_never_show_a_traceback(configure: Configure, run: Run) -> None:
    configure("--exit-after", "0")
    chance = random.Random(7)
    words = ["run", "check", "show", "plugins", "crashes", "explain", "hostler.toml", "fake", "x", "-", "-h"]
    words += ["--last", "--number", "1", "--json", "--debug", "--quiet"]

    for _ in range(35):
        call = [chance.choice(words) for _ in range(chance.randint(0, 4))]
        done = run(*call)
        assert "Traceback" not in done.stderr + done.stdout, call
        assert done.returncode in {0, 1, 2}, call


EVERY_KIND = """
[servers.unset]
command = ["no-such-program"]
env = {{ TOKEN = "${{NOT_SET}}" }}
plugins = {{ file-ready = {{ path = "${{NOT_SET_EITHER}}" }} }}
[servers.wrong]
command = ["x"]
{}
[servers.files]
command = ["x"]
cwd = "nowhere"
env_file = ["missing.env"]
env = {{ KEY = {{ secret = "file:missing.key" }} }}
[servers.user]
command = ["sleep", "$PORT"]
plugins = {{ privileges = {{ user = "nobody-is-called-so" }} }}
"""
TOLD = [
    "unset.env.TOKEN: ${NOT_SET} is not defined",
    "unset.plugins.file-ready.path: ${NOT_SET_EITHER} is not defined",
    "unset.command: no-such-program was not found",
    "files.cwd: the working directory",
    "files.env_file: the env_file",
    "files.env.KEY: cannot read secret",
    "user.command: no shell is used: $PORT",
    "user.plugins.privileges: there is no user",
]
WRONG = "wrong.prot: unknown key"


@pytest.mark.requirement("R9")
@pytest.mark.parametrize(("also", "expected"), [("prot = 3", [*TOLD, WRONG]), ("", TOLD)])
def test_check_tells_the_problems_of_every_server_at_once(
    configure: Configure, run: Run, also: str, expected: list[str]
) -> None:
    configure(text=EVERY_KIND.format(also))
    done = run("check")
    check_told(done)
    assert [told for told in expected if f"servers.{told}" not in done.stderr] == []
