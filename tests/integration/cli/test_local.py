"""Calls of the commands that are read without click: `run`, `explain` and `check`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from child_environment import without_coverage
from hostler_process import Configure, Run

TASK = '[servers.web]\nkind = "task"\ncommand = ["true"]\n'


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("run --ouput none", "no such option: --ouput; did you mean --output?"),
        ("run --all", "no such option: --all; hostler run takes --profile, --set, --output,"),
        ("run --idle-exit 10m", "--idle-exit takes a number, found '10m'; hostler up is what runs in"),
        ("run --output some", "--output takes prefixed, none, found 'some'"),
        ("run --output", "--output takes a value: --output prefixed|none"),
        (
            "run --log-level info --json",
            "--log-format and --log-level go without --debug, --quiet and --json",
        ),
        ("run hostler.toml --", 'a command must follow "--"'),
        ("check a.toml b.toml", "too many arguments: expected one file, found a.toml b.toml"),
        ("explain a.toml b c", "too many arguments: expected a file and the name of a server"),
    ],
)
def test_a_wrong_call_is_told_with_what_is_allowed(
    configure: Configure, run: Run, words: str, message: str
) -> None:
    configure(text=TASK)
    done = run(*words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Usage: hostler {words.split(maxsplit=1)[0]} [OPTIONS] [FILE]")
    assert message in done.stderr
    assert "--background" not in done.stderr


CHECKING = {
    "asyncio",
    "anyio",
    "base64",
    "logging",
    "socket",
    "subprocess",
    "traceback",
    "typing_extensions",
    "hostler.events.events",
}


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        (["check"], {"json", *CHECKING}),
        (["explain"], CHECKING),
        (["run", "--", "true"], {"aiohttp", "encodings.idna", "random", "rich"}),
    ],
)
def test_a_call_imports_little(
    configure: Configure, environ: dict[str, str], tmp_path: Path, words: list[str], unneeded: set[str]
) -> None:
    configure(text=TASK)
    program = f"import sys; from hostler.cli import main\ntry: main({words})\nexcept SystemExit: pass\n"
    argv = [sys.executable, "-c", f"{program}print(*sys.modules)"]
    env = without_coverage(environ)
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=env, cwd=tmp_path)
    assert not {"click", *unneeded} & set(done.stdout.split())


@pytest.mark.parametrize("words", ["check", "explain"])
def test_who_closes_the_pipe_is_told_nothing(
    configure: Configure, environ: dict[str, str], tmp_path: Path, words: str
) -> None:
    configure(text=TASK)
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, "-m", "hostler.cli", words]
    done = subprocess.run(
        argv, cwd=tmp_path, env=environ, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
