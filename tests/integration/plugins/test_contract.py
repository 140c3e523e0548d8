"""Every bundled plugin conforms to the hook contract; a new one is looked at without being named here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

import pytest
from hostler.testing import assert_plugin_contract
from hostler_plugins.webhook import Webhook

BUNDLED = {
    point.name: point
    for point in entry_points(group="hostler.plugins")
    if point.dist and point.dist.name == "hostler"
}

# What some cannot be built without; short intervals, and a watchdog, have more of the others run.
OPTIONS: Mapping[str, Mapping[str, object]] = {
    "commands": {"on_ready": ["true"]},
    "exec-health": {"command": ["true"], "interval": "50ms"},
    "file-ready": {"path": "ready"},
    "http-health": {"interval": "50ms"},
    "log-ready": {"pattern": "ready"},
    "notify-ready": {"watchdog": "1s"},
    "tcp-health": {"interval": "50ms"},
}


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_plugin_keeps_the_contract(name: str) -> None:
    assert_plugin_contract(BUNDLED[name].load(), OPTIONS.get(name))


def test_the_bundled_listener_keeps_the_contract() -> None:
    assert_plugin_contract(Webhook, {"url": "http://127.0.0.1:9/"})


def test_options_are_given_to_plugins_that_there_are() -> None:
    assert set(OPTIONS) <= set(BUNDLED)
