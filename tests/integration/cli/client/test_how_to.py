"""The scripts of the page "How to" that use the commands to a hostler in the background."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from background_project import write
from hostler_process import Run, server_table

PAGE = (Path(__file__).parents[4] / "docs" / "how-to.md").read_text()


@pytest.mark.parametrize("name", ["ci", "agent"])
def test_a_script_runs_as_it_is_shown(name: str, project: Path, run: Run, environ: dict[str, str]) -> None:
    (script,) = re.findall(rf"<!-- run: {name} -->\n```bash\n(.*?)```", PAGE, re.DOTALL)
    write(project, server_table(name="demo"))
    programs = f"{Path(sys.executable).parent}:{environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=project,
        env=environ | {"PATH": programs},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert run("ps").returncode == 3  # no hostler is left
