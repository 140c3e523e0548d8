"""What shells propose for the words of a call, in real shells."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from background_project import pid_of, servers, write
from child_environment import without_coverage
from cli_project import eventually
from hostler.cli import OWN_NAMES
from hostler.cli.client.commands import CLIENT_COMMANDS
from hostler.cli.commands import group
from hostler_process import HOSTLER, Run, Terminal, server_table

Propose = Callable[..., list[str]]

BIN = Path(sys.executable).parent


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    """With `hostler` among the commands, and nothing of whoever runs the tests."""
    return environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": environ["XDG_RUNTIME_DIR"], "PS1": "$ "}


@pytest.fixture
def propose(project: Path, environ: dict[str, str]) -> Propose:
    """What is proposed for a call, the last of whose words is not complete."""

    def call(*words: str, shell: str = "bash", folder: Path = project, **more: str) -> list[str]:
        asked = {"_HOSTLER_COMPLETE": f"{shell}_complete", "COMP_WORDS": " ".join(("hostler", *words))}
        asked["COMP_CWORD"] = words[-1] if shell == "fish" else str(len(words))
        done = subprocess.run(
            HOSTLER, cwd=folder, env=environ | asked | more, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    return call


def plain(lines: list[str]) -> list[str]:
    return [line.removeprefix("plain,") for line in lines if line.startswith("plain,")]


def test_commands_options_servers_and_files_are_proposed(project: Path, run: Run, propose: Propose) -> None:
    write(project, server_table(), server_table(name="fast"), server_table(name="other"))
    (project / "else.toml").touch()
    (project / "folder").mkdir()
    assert plain(propose("")) == [*OWN_NAMES, *CLIENT_COMMANDS]
    assert plain(propose("re")) == ["restart-daemon", "restart"]
    assert plain(propose("restart", "--w")) == ["--when-idle", "--within"]
    assert plain(propose("wait", "--for", "s")) == ["stopped"]
    assert "idle" in plain(propose("wait", "--for", ""))
    assert propose("up", "--socket", "") == ["file,"]
    assert plain(propose("run", "--prof")) == ["--profile"], "by click"
    assert plain(propose("stop", "")) == ["else.toml", "hostler.toml"], "no server without a hostler"

    run("up", "--no-start")
    assert run("ps").returncode == 0  # the first to ask waits for an import
    everything = ["fake", "fast", "other", "else.toml", "hostler.toml"]
    eventually(lambda: plain(propose("stop", "")) == everything)  # a busy machine may be too slow once
    assert plain(propose("stop", "--force", "fa")) == ["fake", "fast"]
    assert plain(propose("stop", "fake", "")) == ["fast", "other"]
    assert plain(propose("stop", "./hostler.toml", "o")) == ["other"]
    assert plain(propose("explain", "o")) == ["other"]
    assert plain(propose("stop", "--timeout", "1s", "ot")) == ["other"]
    assert propose("stop", "fo") == ["file,"], "the shell knows folders"
    assert propose("down", "./e") == ["file,"]
    assert plain(propose("down", "fa")) == []
    assert propose("exec", "fake", "--", "l") == ["file,"]
    assert propose("stop", "ot", shell="zsh") == ["plain", "other", "_"]
    assert propose("stop", "ot", shell="fish") == ["plain,other"]
    assert "plain,--force\tKill the servers" in propose("stop", "--fo", shell="fish")[0]


def test_nothing_is_told_whatever_is_wrong(project: Path, run: Run, propose: Propose) -> None:
    write(project, server_table())
    pid = pid_of(run("up", "--no-start", "--json"))
    os.kill(pid, signal.SIGSTOP)
    try:
        assert plain(propose("stop", "fa")) == []
    finally:
        os.kill(pid, signal.SIGCONT)
    assert propose("stop", "'fa", XDG_STATE_HOME="\0".replace("\0", "/dev/null")) == ["file,"]
    assert plain(propose("run", "--no-such", "")) == []
    assert servers(run)["fake"]["state"] == "stopped"


def test_the_names_of_commands_are_those_of_the_command_line() -> None:
    assert [*OWN_NAMES, *CLIENT_COMMANDS] == group.list_commands(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shell", "begin"),
    [
        (("bash", "--norc", "--noprofile", "-i"), 'eval "$(_HOSTLER_COMPLETE=bash_source hostler)"'),
        (
            ("zsh", "-f", "-i"),
            'autoload -Uz compinit; compinit -u -D; eval "$(_HOSTLER_COMPLETE=zsh_source hostler)"',
        ),
    ],
    ids=["bash", "zsh"],
)
def test_a_real_shell_completes_the_name_of_a_server(
    project: Path, run: Run, environ: dict[str, str], shell: tuple[str, ...], begin: str
) -> None:
    program = shutil.which(shell[0])
    if program is None:
        pytest.skip(f"{shell[0]} is not installed")
    write(project, server_table())
    run("up", "--no-start")
    assert run("ps").returncode == 0  # the first to ask waits for an import
    terminal = Terminal(project, environ, program=(program, *shell[1:]))
    terminal.press(f"{begin}; echo rea''dy\n".encode())
    terminal.read_until("ready")
    terminal.press(b"hostler restart fa\t")
    terminal.read_until("hostler restart fake")
    terminal.press(b"--when-i\t")
    terminal.read_until("--when-idle")
    terminal.press(b"\x15exit\n")
    assert terminal.end() == 0
    assert "rror" not in terminal.text
    assert "not found" not in terminal.text


def test_a_real_fish_completes_the_name_of_a_server(project: Path, run: Run, environ: dict[str, str]) -> None:
    program = shutil.which("fish")
    if program is None:
        pytest.skip("fish is not installed")
    write(project, server_table())
    run("up", "--no-start")
    assert run("ps").returncode == 0  # the first to ask waits for an import
    script = "_HOSTLER_COMPLETE=fish_source hostler | source; complete -C 'hostler restart fa'"
    done = subprocess.run(
        [program, "--no-config", "-c", script],
        cwd=project,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("fake\n", "")


def test_a_proposal_imports_little(project: Path, run: Run, environ: dict[str, str]) -> None:
    write(project, server_table())
    run("up", "--no-start")
    assert run("ps").returncode == 0  # the first to ask waits for an import
    program = "import sys; from hostler.cli import main; main(); print(*sys.modules)"
    asked = {"_HOSTLER_COMPLETE": "bash_complete", "COMP_WORDS": "hostler stop f", "COMP_CWORD": "2"}
    env = without_coverage(environ) | asked
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, cwd=project, env=env, capture_output=True, text=True, check=True)
    first, loaded = done.stdout.splitlines()
    assert first == "plain,fake"
    assert not {"click", "anyio", "asyncio", "msgspec", "pathlib", "hostler.errors"} & set(loaded.split())
