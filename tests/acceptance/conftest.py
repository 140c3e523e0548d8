"""A user of its own for every acceptance test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A home of the test's own; what the test started in it is gone at its end."""
    world = World(tmp_path / "home")
    yield world

    for command in world.started:
        if command.process.poll() is None:
            command.process.kill()

        command.end()

    assert world.processes() == {}
