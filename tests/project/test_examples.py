"""The examples: what they say is so, each as its own package would have it."""

from __future__ import annotations

from pathlib import Path

import pytest
from third_party_packages import build_into, run_tests

EXAMPLES = Path(__file__).parents[2] / "examples"
PACKAGES = sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml"))


@pytest.mark.requirement("R46")
@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_of_its_own_is_built_installed_and_passes_its_tests(name: str, tmp_path: Path) -> None:
    package = EXAMPLES / name
    before = sorted(path for path in package.rglob("*") if "__pycache__" not in path.parts)
    done = run_tests(package, build_into(tmp_path / "site", package))
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path for path in package.rglob("*") if "__pycache__" not in path.parts) == before
    if "skipped" in done.stdout:
        pytest.skip(f"some of its tests were: {done.stdout.strip().splitlines()[-1]}")


def test_there_is_a_package_for_a_real_server() -> None:
    assert "hostler-redis" in PACKAGES
