"""A configuration to be changed, and what a supervisor tells of the change."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from hostler import (
    Configuration,
    load,
)
from servers import fake_server


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    """One server, and a template of others."""
    command = fake_server("--port", "${server.port}", "--print", "${parameter.word}")
    text = f"""
    [templates.fake]
    parameters = {{ word = {{ required = true }} }}
    command = {command}
    plugins = {{ regex-port = true }}
    [servers.first]
    template = {{ use = "fake", word = "one" }}
    """
    file = tmp_path / "hostler.toml"
    file.write_text(dedent(text))
    return load(file)
