"""The programs on the page of the control API do what it says, with a real hostler."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from background_project import write
from hostler_process import Run, server_table
from node_program import node

PAGE = Path(__file__).parents[4] / "docs" / "control-api.md"


def blocks(kind: str) -> list[str]:
    found = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found


@pytest.fixture
def socket(project: Path, run: Run) -> str:
    """The socket of a hostler that supervises the server "web", as the page finds it."""
    write(project, server_table(name="web"))
    assert run("up").returncode == 0
    return str(json.loads(run("ps", "--all", "--json").stdout)["daemons"][0]["socket"])


def test_python(project: Path, socket: str, environ: dict[str, str]) -> None:
    blocking, asynchronous = blocks("python")
    call = "import asyncio\nrestart('web')\nfor name in ('web', 'x'): print(asyncio.run(wait_for(name)))"
    (project / "program.py").write_text(f"{blocking}\n{asynchronous}\n{call}\n")
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=project, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "web running http://" in done.stdout
    assert "web is run 2 now" in done.stdout
    assert "web is running at http://" in done.stdout
    assert "not_found: there is no server 'x'; there are: web" in done.stdout


def test_node(project: Path, socket: str) -> None:
    (program,) = blocks("js")
    (project / "program.mjs").write_text(program)
    argv = [node(), "program.mjs", socket, "web"]
    done = subprocess.run(argv, cwd=project, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "web running 2 true\n"), done.stderr
    argv[3] = "x"
    refused = subprocess.run(argv, cwd=project, capture_output=True, text=True, check=False, timeout=60)
    assert "Error: there is no server 'x'; there are: web" in refused.stderr


def test_curl(project: Path, socket: str, environ: dict[str, str]) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    first, *commands = re.findall(r"^\$ (.*)$", blocks("console")[0], re.MULTILINE)
    assert "ps --all --json" in first
    answers = []
    for command in commands:
        # A stream has no end.
        words = f"SOCKET='{socket}'; {command} --silent --max-time 5"
        done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=False)
        answers.append(done.stdout)
    assert json.loads(answers[0])["name"] == "web"
    assert json.loads(answers[1])["server"]["generation"] == 2
    assert "event: state" in answers[2]
