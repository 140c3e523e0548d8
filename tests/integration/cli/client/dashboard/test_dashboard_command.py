"""`hostler dashboard`: the address, and the browser that it is opened in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from background_project import write
from hostler.cli.client.dashboard import has_screen
from hostler_process import Run, server_table


def test_a_browser_is_opened_and_the_address_is_the_answer(
    project: Path, run: Run, environ: dict[str, str]
) -> None:
    write(project, server_table(name="web"))
    assert run("up").returncode == 0
    browser = project / "browser"
    browser.write_text(f'#!/bin/sh\necho much; echo "$1" > {project}/opened\n')
    browser.chmod(0o700)
    done = run("dashboard", env=environ | {"BROWSER": f"{browser} %s"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (project / "opened").read_text()

    failing = environ | {"BROWSER": "/bin/false %s"}
    done = run("dashboard", "--json", env=failing)
    answer = json.loads(done.stdout)
    assert 50 < (datetime.fromisoformat(answer["expires"]) - datetime.now(UTC)).total_seconds() <= 60
    done = run("dashboard", env=failing)
    assert "no browser could be opened here" in done.stderr


def test_a_call_that_cannot_be_meant_is_refused(project: Path, run: Run) -> None:
    write(project, server_table(name="web"))
    done = run("dashboard", "web")
    assert (done.returncode, "it shows all servers, found 'web'" in done.stderr) == (2, True)
    done = run("dashboard")
    assert (done.returncode, "start one: hostler up" in done.stderr) == (3, True)


@pytest.mark.parametrize(
    ("name", "expected"), [("DISPLAY", True), ("WAYLAND_DISPLAY", True), ("TERM", False)]
)
def test_a_browser_in_this_terminal_is_not_meant(name: str, *, expected: bool) -> None:
    assert has_screen({name: "x"}) is expected
