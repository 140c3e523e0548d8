"""The commands, where a variable is not set that only a server which they do not start refers to."""

from __future__ import annotations

import signal

import pytest
from hostler_process import Configure, Run, Start, server_table

PLACE = "hostler.toml:7: servers.mailer.env.API_KEY: ${NOT_SET} is not defined"
CALLS = (["run", "hostler.toml", "mailer"], ["run"], ["check"])


@pytest.fixture(autouse=True)
def file(configure: Configure) -> None:
    """One server that works, and one of which a variable is not set."""
    configure(
        text=server_table(name="web")
        + '[servers.mailer]\ncommand = ["x"]\nenv = { API_KEY = "${NOT_SET}" }\n'
    )


def test_the_other_server_runs_and_a_reload_changes_nothing_about_that(start: Start) -> None:
    hostler = start("run", "hostler.toml", "web")
    hostler.wait_for("web server started")
    hostler.send(signal.SIGHUP)
    hostler.wait_for("nothing has changed")
    hostler.send(signal.SIGTERM)
    assert hostler.end() == 0


def test_what_only_reads_tells_it_where_it_matters_and_ends_with_0(run: Run) -> None:
    explained, web, crashes, shown, origins = (
        run(*words.split()) for words in ("explain", "explain web", "crashes", "show", "show --origin")
    )
    assert [one.returncode for one in (explained, web, crashes, shown, origins)] == [0] * 5
    assert PLACE in explained.stdout
    assert PLACE not in web.stdout + crashes.stdout
    assert f"# unset: {PLACE}" in shown.stdout
    assert f"# unset: {PLACE}" in origins.stdout


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_who_starts_it_or_checks_is_told_before_anything_is_started(run: Run, words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert PLACE in done.stderr
