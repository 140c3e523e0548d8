"""`hostler check`, `show` and `plugins`: pages for people, exit codes for scripts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hostler import load
from hostler_process import HOSTLER, Configure, Run, server_table


def test_check_counts_the_servers(configure: Configure, run: Run) -> None:
    configure()
    done = run("check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hostler.toml: OK, 1 server: fake\n", "")
    file = configure(text=server_table(name="db") + server_table(name="web", needs='["db"]'))
    assert run("check", str(file)).stdout == f"{file}: OK, 2 servers: db, web\n"


def test_check_shows_all_mistakes_at_once_with_their_lines(configure: Configure, run: Run) -> None:
    file = configure(
        text='[servers.web]\ncomand = ["x"]\nport = "many"\n[servers.web.plugins]\nregex-prot = true\n'
    )
    done = run("check", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{file}:2" in done.stderr
    assert 'did you mean "command"' in done.stderr
    assert f"{file}:3" in done.stderr
    assert 'did you mean "regex-port"' in done.stderr
    assert "Traceback" not in done.stderr


def test_check_starts_nothing(configure: Configure, run: Run, tmp_path: Path) -> None:
    configure("--touch", str(tmp_path / "started"))
    assert run("check").returncode == 0
    assert not (tmp_path / "started").exists()
    assert not (tmp_path / "state").exists()


def test_show_prints_what_is_in_force_and_it_reads_back_as_the_same(
    configure: Configure, run: Run, tmp_path: Path
) -> None:
    file = configure(env='{ HOME_OF = "${HOME}" }')
    upper = tmp_path / "upper.toml"
    upper.write_text('extends = ["hostler.toml"]\n[servers.fake]\nstartup_timeout = "7s"\n')
    done = run("show", "upper.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert "${HOME}" in done.stdout
    again = tmp_path / "again.toml"
    again.write_text(done.stdout)
    first, second = load(upper).servers["fake"], load(again).servers["fake"]
    assert first.command == second.command == load(file).servers["fake"].command
    assert first.startup_timeout == second.startup_timeout == 7.0
    assert [plugin.name for plugin in second.plugins] == ["regex-port"]


def test_show_never_prints_a_value_of_the_environment(
    configure: Configure, run: Run, environ: dict[str, str]
) -> None:
    configure(env='{ A_TOKEN = "${A_TOKEN}" }')
    done = run("show", env=environ | {"A_TOKEN": "sesame-open-sesame"})
    assert done.returncode == 0
    assert "sesame" not in done.stdout


def test_plugins_shows_every_installed_one_with_hooks_and_options(run: Run) -> None:
    done = run("plugins")
    assert (done.returncode, done.stderr) == (0, "")
    names = {line.split()[0] for line in done.stdout.splitlines() if line and not line.startswith(" ")}
    assert names >= {"opencode", "regex-port", "sse-health", "log-rotation", "env-sanitizer"}
    kinds = done.stdout.count("  hooks: ") + done.stdout.count("  a listener, for [listeners]")
    assert kinds == len(names)


def test_plugins_shows_the_ones_that_are_named(run: Run) -> None:
    done = run("plugins", "sse-health")
    assert done.stdout.startswith("sse-health")
    assert "  hooks: pre_spawn, health_check\n" in done.stdout
    assert "path = " in done.stdout
    assert "regex-port" not in done.stdout


def test_an_unknown_plugin_is_a_mistake_in_the_call(run: Run) -> None:
    done = run("plugins", "sse-helth")
    assert done.returncode == 2
    assert 'no plugin "sse-helth"' in done.stderr
    assert "sse-health" in done.stderr


def test_for_a_command_that_there_is_not_the_likely_one_is_told(run: Run) -> None:
    done = run("rn", "hostler.toml")
    assert done.returncode == 2
    assert done.stderr.endswith("Error: No such command 'rn'; did you mean \"run\"?\n")
    assert run("frobnicate").stderr.endswith("Error: No such command 'frobnicate'.\n")


def test_version_and_help(run: Run) -> None:
    assert run("--version").stdout.startswith("hostler ")
    for words in ((), ("run",), ("explain",), ("crashes",), ("check",), ("show",), ("plugins",)):
        done = run(*words, "--help")
        assert done.returncode == 0
        assert done.stdout.startswith("Usage: hostler")
        assert run(*words, "-h").stdout == done.stdout


@pytest.mark.parametrize("words", ["plugins", "--help", "show"])
def test_a_reader_that_takes_one_line_only_is_no_mistake(
    configure: Configure, tmp_path: Path, environ: dict[str, str], words: str
) -> None:
    configure()
    pipeline = f"{' '.join(HOSTLER)} {words} | head -1"
    argv = ["sh", "-c", pipeline]
    done = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_a_broken_plugin_hurts_only_who_names_it(run: Run, tmp_path: Path, environ: dict[str, str]) -> None:
    installed = tmp_path / "site" / "broken-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[hostler.plugins]\nbroken = no_such_module:Broken\n")
    env = environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = run("plugins", env=env)
    assert done.returncode == 0
    assert "regex-port" in done.stdout
    assert "broken\n  cannot be used:" in done.stderr
    done = run("plugins", "broken", env=env)
    assert done.returncode == 1
    assert "no_such_module" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_looks_at_this_machine_too(configure: Configure, run: Run, tmp_path: Path) -> None:
    file = configure(
        text='[servers.web]\ncommand = ["no-such-program"]\nport = false\nplugins.regex-port = true\n'
    )
    done = run("check", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    warning, mistake = done.stderr.splitlines()
    assert warning.startswith(
        f"warning: {file}:4: servers.web.plugins.regex-port: its hook parse_port is never"
    )
    assert mistake.startswith(f"{file}:2: servers.web.command: no-such-program was not found")
    assert not (tmp_path / "state").exists()


def test_with_strict_a_warning_is_a_mistake(configure: Configure, run: Run) -> None:
    file = configure(text='[servers.web]\ncommand = ["true"]\nport = false\nplugins.regex-port = true\n')
    done = run("check", str(file))
    assert done.returncode == 0
    assert done.stdout == f"{file}: OK, 1 server: web\n"
    strict = run("check", "--strict", str(file))
    assert (strict.returncode, strict.stdout) == (2, "")
    assert f"warning: {strict.stderr}" == done.stderr


def test_what_check_sees_is_told_where_it_was_written(configure: Configure, run: Run, tmp_path: Path) -> None:
    configure(text='[servers.web]\ncommand = ["true"]\n\ncwd = "gone"\n')
    upper = tmp_path / "upper.toml"
    upper.write_text('extends = ["hostler.toml"]\n')
    (line,) = run("check", "upper.toml").stderr.splitlines()
    assert line.startswith("hostler.toml:4: servers.web.cwd: the working directory")
