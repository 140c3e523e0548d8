"""Packages of others: built, installed beside everything else, and their own tests run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# For a pytest of its own: these two take longer to import than all the rest.
WITHOUT = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:schemathesis")


def build_into(site: Path, package: Path) -> Path:
    """Build a package's wheel without a network and unpack it into a folder for PYTHONPATH."""
    argv = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    env = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    done = subprocess.run(
        [*argv, "--target", str(site), str(package)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return site


def run_tests(package: Path, site: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of a package as its author would, with what is installed in `site`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    argv = [sys.executable, "-m", "pytest", *WITHOUT, f"--basetemp={site.parent / 'tests'}", *options]
    return subprocess.run(
        argv,
        cwd=package,
        env=env | {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
