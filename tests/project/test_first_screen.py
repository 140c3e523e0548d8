"""The first example of the README and of the home page does what they show."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hostler_process import HOSTLER, Hostler

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "index.md"]


def block(page: Path, head: str) -> str:
    """The first block that begins like this."""
    found = re.search(rf"^```{head}(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{page.name} has no block {head!r}"
    return found[1]


def without_numbers(lines: list[str]) -> list[str]:
    return [re.sub(r"\d+(\.\d+)*", "N", line) for line in lines]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_first_server_runs_as_it_is_shown(page: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "hostler.toml").write_text(block(page, r'toml title="hostler\.toml"\n'))
    words = [*HOSTLER, "run"]
    with subprocess.Popen(
        words, cwd=tmp_path, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        hostler = Hostler(process)
        hostler.wait_for("started on port")
        hostler.wait_for("Serving HTTP")
        hostler.send(signal.SIGINT)
        assert hostler.end() == 0
    shown = block(page, r"console\n\$ hostler run\n").replace("^C\n", "").splitlines()
    # What the server prints and what hostler says come from two sources.
    assert sorted(without_numbers(hostler.stdout)) == sorted(without_numbers(shown))


def test_a_command_beside_it_gets_the_address(tmp_path: Path, environ: dict[str, str]) -> None:
    page = PAGES[1]
    (tmp_path / "hostler.toml").write_text(block(page, r'toml title="hostler\.toml"\n'))
    command, *shown = block(page, r"console\n\$ (?=hostler run --)").splitlines()
    words = ["sh", "-c", f"{command} 2>&1"]
    done = subprocess.run(
        words, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True, timeout=60, check=True
    )
    assert without_numbers(done.stdout.splitlines()) == without_numbers(shown)
