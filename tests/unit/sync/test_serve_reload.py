"""Servers are added, removed and reloaded without a loop."""

from __future__ import annotations

import pytest
from hostler import (
    Configuration,
    Directories,
    ServerError,
    load,
    serve,
)
from reloading import configuration
from specs import MakeSpec

__all__ = ["configuration"]


def test_a_program_without_a_loop_adds_removes_and_reloads(
    configuration: Configuration, directories: Directories
) -> None:
    assert configuration.path is not None

    with serve(configuration.path, directories=directories, settings={"servers.first.title": "A"}) as servers:
        second = servers.add("fake", "second", word="two")
        second.wait_ready(20)
        servers["first"].wait_ready(20)
        assert list(servers) == list(servers.servers) == ["first", "second"]
        assert servers["second"] is second
        assert servers["first"].spec.title == "A"
        servers.remove("second")
        assert len(servers) == 1
        again = load(configuration.path, settings={"servers.first.title": "B"})
        assert servers.changes(again).restarted == ("first",)
        assert servers.reload(again).restarted == ("first",)
        servers.wait_ready(timeout=20)
        assert servers["first"].generation == 2
        with pytest.raises(KeyError):
            servers["second"]


def test_profiles_without_a_file_are_refused(make_spec: MakeSpec, directories: Directories) -> None:
    with (
        pytest.raises(ServerError, match="go with the path of a file"),
        serve(make_spec(), profiles=["ci"], directories=directories),
    ):
        pass
