"""The environment of whoever calls `hostler up`, handed over to a hostler that runs already."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil
import pytest
from background_project import pid_of, servers, write
from cli_project import eventually
from hostler_process import Run, Start

OLD, NEW = "mallow-morning-1", "mallow-evening-2"


def server(name: str, *lines: str) -> str:
    """A server that writes its variables into a file, and its table."""
    command = ["sh", "-c", f"env > {name}.part && mv {name}.part {name}.env && exec sleep 1000"]
    return "\n".join([f"[servers.{name}]", f"command = {json.dumps(command)}", "port = false", *lines, ""])


def variable(project: Path, server: str, name: str) -> str | None:
    """What a server was given; None before it has written it, too."""
    file = project / f"{server}.env"
    lines = file.read_text().splitlines() if file.exists() else []
    return dict(line.partition("=")[::2] for line in lines).get(name)


@pytest.fixture
def configured(project: Path) -> Path:
    """Servers that are given variables in each of the ways, and one that is given none."""
    write(
        project,
        server("filled", 'env = { GREETING = "${GREETING}" }'),
        server("secret", 'env = { TOKEN = { secret = "env:OWN_TOKEN" } }'),
        server("copied", 'plugins.env-sanitizer = { allow = ["SHOP_*"] }'),
        server("other"),
    )
    return project


def test_only_who_is_given_what_has_changed_is_restarted_and_sees_it(
    configured: Path, run: Run, environ: dict[str, str], tmp_path: Path
) -> None:
    first = environ | {"GREETING": OLD, "OWN_TOKEN": f"s{OLD}", "SHOP_NAME": OLD, "UNRELATED": OLD}
    assert run("up", env=first).returncode == 0
    before = servers(run)

    again = run("up", env=first | {"UNRELATED": NEW})
    assert again.stderr == ""

    second = environ | {"GREETING": NEW, "OWN_TOKEN": f"s{NEW}", "SHOP_NAME": NEW, "SHOP_TOWN": NEW}
    up = run("up", env=second)
    assert up.returncode == 0, up.stderr
    after = servers(run)
    assert [name for name in after if after[name]["pid"] != before[name]["pid"]] == [
        "filled",
        "secret",
        "copied",
    ]
    given = [("filled", "GREETING"), ("secret", "TOKEN"), ("copied", "SHOP_NAME"), ("copied", "SHOP_TOWN")]
    expected = [NEW, f"s{NEW}", NEW, NEW]
    eventually(lambda: [variable(configured, *one) for one in given] == expected)
    assert "secret: restarted\n  environ.OWN_TOKEN: ******** -> ********" in up.stderr

    pid = int(json.loads(run("up", "--json", "--keep-environment").stdout)["pid"])
    os.kill(pid, signal.SIGHUP)
    (log,) = (tmp_path / "data").rglob("daemon.log")
    eventually(lambda: "nothing has changed" in log.read_text())
    run("restart", "--all", env=first)
    assert [variable(configured, *one) for one in given] == expected

    daemon = psutil.Process(pid)
    shown = [up.stdout, up.stderr, log.read_text(), *daemon.cmdline(), run("ps", "--json").stdout]
    shown += [run("events", "--json").stdout]
    assert not any(NEW in one or OLD in one for one in shown)


def test_a_secret_that_hostler_was_given_later_is_not_taken_away_either(
    project: Path, run: Run, environ: dict[str, str]
) -> None:
    secret = server("secret", "autostart = false", 'env = { TOKEN = { secret = "env:OWN_TOKEN" } }')
    write(project, server("other"), secret)
    assert run("up", env=environ).returncode == 0
    assert run("up", "secret", env=environ | {"OWN_TOKEN": f"s{NEW}"}).returncode == 0
    before = servers(run)

    up = run("up", env=environ)
    assert up.returncode == 2
    assert "servers.secret.env.TOKEN: cannot read secret env:OWN_TOKEN" in up.stderr
    assert "set OWN_TOKEN here, or keep what hostler has: --keep-environment" in up.stderr
    assert {row["pid"] for row in servers(run).values()} == {row["pid"] for row in before.values()}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("GREETING", "servers.filled.env.GREETING: ${GREETING} is not defined"),
        ("OWN_TOKEN", "servers.secret.env.TOKEN: cannot read secret env:OWN_TOKEN: it is not set, or empty"),
    ],
)
def test_a_variable_that_is_not_set_any_more_is_told_unless_all_is_to_be_kept(
    configured: Path, run: Run, environ: dict[str, str], name: str, told: str
) -> None:
    given = environ | {"GREETING": OLD, "OWN_TOKEN": f"s{OLD}", "SHOP_NAME": OLD}
    run("up", env=given)
    before = servers(run)

    without = {one: value for one, value in given.items() if one != name}
    up = run("up", env=without)
    assert up.returncode == 2
    assert up.stderr.count(told) == 1
    assert f"set {name} here, or keep what hostler has: --keep-environment" in up.stderr
    anew = run("restart-daemon", env=without)
    assert (anew.returncode, anew.stderr.splitlines()[-1]) == (2, f"  what to do: set {name} here")
    assert run("up", "--keep-environment", env=environ).returncode == 0
    assert {row["pid"] for row in servers(run).values()} == {row["pid"] for row in before.values()}

    del given["SHOP_NAME"]
    up = run("up", env=given)
    assert "environ.SHOP_NAME: ******** -> (none)" in up.stderr
    eventually(lambda: variable(configured, "copied", "SHOP_NAME") is None)


def test_a_value_that_cannot_be_handed_over_is_told(
    configured: Path, run: Run, environ: dict[str, str]
) -> None:
    given = environ | {"GREETING": OLD, "OWN_TOKEN": f"s{OLD}"}
    run("up", env=given)
    up = run("up", env=given | {"GREETING": "\udcff"})
    assert (up.returncode, up.stderr.splitlines()[0]) == (2, "the variable GREETING is no UTF-8")
    large = run("up", env=given | {"GREETING": "x" * 70_000})
    assert large.returncode == 1
    assert large.stderr.splitlines()[0] == (
        "the variables that the configuration refers to are too large: the most is 64 KiB"
    )


def test_what_was_handed_over_stays_where_the_caller_has_gone_before_the_end(
    project: Path, run: Run, start: Start, environ: dict[str, str], tmp_path: Path
) -> None:
    slow = "env > slow.part; mv slow.part slow.env; trap 'sleep 1; exit' TERM; while :; do sleep 0.1; done"
    table = f'[servers.slow]\ncommand = ["sh", "-c", "{slow}"]\nport = false'
    write(project, table, 'env = { GREETING = "${GREETING}" }\n')
    pid = pid_of(run("up", "--json", env=environ | {"GREETING": OLD}))
    eventually(lambda: variable(project, "slow", "GREETING") == OLD)

    caller = start("up", env=environ | {"GREETING": NEW})
    eventually(lambda: servers(run)["slow"]["state"] == "stopping")
    caller.send(signal.SIGINT)
    assert caller.end() == 130
    eventually(lambda: variable(project, "slow", "GREETING") == NEW)
    os.kill(pid, signal.SIGHUP)
    (log,) = (tmp_path / "data").rglob("daemon.log")
    eventually(lambda: "nothing has changed" in log.read_text())
    assert variable(project, "slow", "GREETING") == NEW
