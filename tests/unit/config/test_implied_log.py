"""The log that a server has without being told to, where clients can reach hostler."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostler import PluginSpec
from hostler.config.implied_log import with_logs
from hostler.config.load import Resolution, load_resolved
from hostler.config.provenance import origins_of

SERVERS = """
[servers.plain]
command = ["true"]
port = false

[servers.logged]
command = ["true"]
port = false
plugins = { log-rotation = { keep = 2 } }

[servers.decided]
command = ["true"]
port = false
plugins = { log-rotation = { index = false } }

[servers.off]
command = ["true"]
port = false
plugins = { log-rotation = false }

[servers.elsewhere]
command = ["true"]
port = false
plugins = { own = { use = "own.py:Own" } }

[servers.silent]
command = ["true"]
port = false
stdout = "ignore"
stderr = "ignore"

[templates.made]
command = ["true"]
port = false
"""
OWN = """
from dataclasses import dataclass

from hostler import hookimpl


@dataclass(eq=False)
class Own:
    @hookimpl
    async def pre_spawn(self, server, launch):
        pass

    def log_file(self, spec, launch):
        return launch.data_dir / "own.log"
"""


@pytest.fixture
def read(tmp_path: Path) -> Resolution:
    (tmp_path / "own.py").write_text(OWN)
    file = tmp_path / "hostler.toml"
    file.write_text(SERVERS)
    return load_resolved(file)


def options(plugins: tuple[PluginSpec, ...]) -> dict[str, object] | None:
    """Those of log-rotation, None without it."""
    return next((dict(one.options) for one in plugins if one.name == "log-rotation"), None)


@pytest.mark.parametrize("in_background", [True, False])
def test_the_index_is_kept_and_in_the_background_each_server_has_a_log(
    read: Resolution, in_background: bool
) -> None:
    made = with_logs(read, in_background=in_background)
    added = {"index": True} if in_background else None
    assert {name: options(spec.plugins) for name, spec in made.servers.items()} == {
        "plain": added,
        "logged": {"keep": 2, "index": True},
        "decided": {"index": False},
        "off": None,
        "elsewhere": None,
        "silent": None,
    }
    assert options(made.templates["made"]("one").plugins) == added


def test_show_tells_what_is_implied(read: Resolution) -> None:
    def place(name: str) -> str | None:
        key = f"servers.{name}.plugins.log-rotation.index"
        origins = origins_of(read.servers[name])
        return next((f"{one.value}: {one.place}" for one in origins if one.key == key), None)

    assert place("plain") == "true: hostler up: nothing else shows its output"
    assert place("logged") == "true: hostler up and hostler run: their clients read it"
    assert str(place("decided")).startswith("false: ")
    assert [place("off"), place("elsewhere"), place("silent")] == [None, None, None]
