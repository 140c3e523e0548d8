"""Every bundled plugin conforms to the hook contract; a new one is looked at without being named here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

import pytest
from hostler.testing import assert_plugin_contract

BUNDLED = {
    point.name: point
    for point in entry_points(group="hostler.plugins")
    if point.dist and point.dist.name == "hostler"
}

# What those need that cannot be built without.
OPTIONS: Mapping[str, Mapping[str, object]] = {
    "commands": {"on_ready": ["true"]},
    "exec-health": {"command": ["true"]},
    "file-ready": {"path": "ready"},
    "log-ready": {"pattern": "ready"},
}


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_plugin_keeps_the_contract(name: str) -> None:
    assert_plugin_contract(BUNDLED[name].load(), OPTIONS.get(name))


def test_options_are_given_to_plugins_that_there_are() -> None:
    assert set(OPTIONS) <= set(BUNDLED)
