"""`./dev` on a machine that lacks something: it says what, and ends there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

DEV = Path(__file__).parents[2] / "dev"


def dev_test(checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(DEV, checkout)
    checkout.joinpath("pyproject.toml").touch()
    env = os.environ | {"PIP_CACHE_DIR": str(checkout / "pip")} | variables
    argv = ["./dev", "test"]
    return subprocess.run(argv, cwd=checkout, env=env, capture_output=True, text=True, check=False)


def test_without_python_it_asks_for_python_and_does_nothing_else(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()

    for name in ("bash", "cksum", "dirname"):
        programs.joinpath(name).symlink_to(shutil.which(name) or name)

    result = dev_test(tmp_path, PATH=str(programs), PYTHON="")

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "dev: Python 3.11 or newer is needed; install it (Debian: python3 and python3-venv), "
        "or name it: PYTHON=/path/to/python ./dev ...\n"
    )


def test_what_could_not_be_installed_is_tried_again_and_no_test_starts_without_it(tmp_path: Path) -> None:
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$2" >> calls\nexit 1\n')
    python.chmod(0o755)

    results = [dev_test(tmp_path) for _ in range(2)]

    assert (tmp_path / "calls").read_text().split() == ["pip", "pip"]

    for result in results:
        assert result.returncode == 1
        assert result.stderr.endswith("(see above); the first time needs the network\n")
