"""Property lists, and what launchd says."""

from __future__ import annotations

import plistlib
from pathlib import Path

import pytest
from hostler.cli.service_files.definition import Service
from hostler.cli.service_files.launchd import Launchd

CONFIGURATION = "/srv/a & b -- <c>/hostler.toml"
OWN = Service(
    "hostler-x",
    CONFIGURATION,
    ["/usr/bin/python3", "run", CONFIGURATION, "--set=a=b"],
    True,
    [("PATH", "/b")],
)


def test_a_property_list_is_one_and_says_the_same_as_the_unit() -> None:
    """`plutil -lint` wants XML in which each key has one value of a type that property lists have."""
    text = Launchd().text(OWN)
    log = str(Path.home() / "Library/Logs/hostler-x.log")
    assert plistlib.loads(text.encode(), fmt=plistlib.FMT_XML) == {
        "Label": "hostler-x",
        "ProgramArguments": [*OWN.words, "--output", "none"],
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 5,
        "ExitTimeOut": 60,
        "Umask": 0o077,
        "EnvironmentVariables": {"PATH": "/b"},
        "StandardOutPath": log,
        "StandardErrorPath": log,
    }
    assert Launchd().belongs(text, OWN)
    assert not Launchd().belongs(text, OWN._replace(configuration="/srv/hostler.toml"))
    assert not Launchd().belongs("no list", OWN)
    without = Launchd().without_options(text, OWN)
    assert plistlib.loads(without.encode())["ProgramArguments"] == OWN.words[:3]


def test_a_service_for_all_is_a_daemon_with_a_usual_path() -> None:
    service = OWN._replace(is_own=False, variables=())
    assert Launchd().path(service, {}) == Path("/Library/LaunchDaemons/hostler-x.plist")
    assert plistlib.loads(Launchd().text(service).encode())["EnvironmentVariables"]["PATH"].endswith("/sbin")
    assert Launchd().enable(service, Path("/x"))[0][:3] == ["launchctl", "bootstrap", "system"]
    assert Launchd().restart(OWN)[0] == Launchd().disable(OWN)


@pytest.mark.parametrize(
    ("code", "answer", "state"),
    [
        (0, "gui/501/hostler-x = {\n\tactive count = 1\n\tstate = running\n}", "active"),
        (0, "gui/501/hostler-x = {\n\tstate = spawn scheduled\n}", "spawn scheduled"),
        (113, "", "inactive"),
        (125, "", ""),
    ],
)
def test_the_state_is_that_which_launchd_prints(code: int, answer: str, state: str) -> None:
    assert Launchd().state(code, answer) == state
