"""`--profile` and `--set`, on every command that reads a configuration."""

from __future__ import annotations

import pytest
from hostler_process import Configure, Run, server_table

COMMANDS = ["run", "check", "show", "explain", "crashes"]


@pytest.fixture
def written(configure: Configure) -> None:
    configure(text=f"{server_table()}[profiles.ci.servers.extra]\ncommand = ['true']\nport = false\n")


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_profile_is_a_mistake_with_a_proposal(run: Run, command: str) -> None:
    done = run(command, "--profile", "cii")
    message = 'hostler.toml: profiles: there is no profile "cii"; there are: ci; did you mean "ci"?\n'
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_misspelt_setting_is_a_mistake_that_names_it(run: Run, command: str) -> None:
    done = run(command, "--set", "servers.fake.prot=3", "--set", "servers.fake.hots=x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        '--set servers.fake.hots=x: servers.fake.hots: unknown key; did you mean "host"?',
        '--set servers.fake.prot=3: servers.fake.prot: unknown key; did you mean "port"?',
    ]


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_setting_is_told_with_the_form(run: Run, command: str) -> None:
    done = run(command, "--set", "port")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("--set port: expected KEY=VALUE")


@pytest.mark.usefixtures("written")
def test_show_prints_what_comes_out(run: Run) -> None:
    done = run(
        "show", "--profile", "ci", "--set", "servers.fake.title=My Site", "--set", "servers.fake.port=80"
    )
    assert done.returncode == 0
    assert 'title = "My Site"' in done.stdout
    assert "port = 80" in done.stdout
    assert "[servers.extra]" in done.stdout
    assert "profiles" not in done.stdout


@pytest.mark.usefixtures("written")
def test_check_counts_the_servers_of_a_profile(run: Run) -> None:
    assert "1 server: fake" in run("check").stdout
    assert "2 servers: fake, extra" in run("check", "--profile", "ci").stdout


@pytest.mark.usefixtures("written")
def test_explain_and_crashes_know_the_servers_of_a_profile(run: Run) -> None:
    assert run("explain", "extra").returncode == 2
    assert run("explain", "extra", "--profile", "ci").returncode == 0
    assert run("crashes", "extra", "--profile", "ci").stdout == "no crash of extra is on record\n"


def test_templates_alone_cannot_be_run(configure: Configure, run: Run) -> None:
    configure(text="[templates.t]\ncommand = ['x']\n")
    done = run("run")
    assert done.returncode == 2
    assert "hostler.toml has only templates; add a table [servers.NAME] to run one" in done.stderr
    assert run("check").stdout == "hostler.toml: OK, 0 servers: only templates\n"
