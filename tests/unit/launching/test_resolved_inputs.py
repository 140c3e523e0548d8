"""What is read at each start of some servers, as it is kept from start to start."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostler import PluginSpec, ServerSpec
from hostler.launching.resolved_inputs import StartInputs


def test_what_a_plugin_without_a_base_names_is_where_the_program_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = PluginSpec("own", use="own.py:Own")
    inputs = StartInputs([ServerSpec(name="web", command=("true",), plugins=(plugin,))])
    found = []

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        found.append(dict(inputs.needed()))

    assert found == [{tmp_path / name / "own.py": True} for name in ("one", "two")]
