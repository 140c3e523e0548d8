"""The examples: what they say is so, each as its own package would have it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hostler.config.load import load
from hostler.process.disk.directories import Directories
from hostler.supervisor.supervisor import Supervisor
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


async def test_nine_servers_fit_forty_lines_and_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    shutil.copytree(EXAMPLES / "nine-servers", project)
    lines = (project / "hostler.toml").read_text().splitlines()
    assert len([line for line in lines if line and not line.startswith("#")]) <= 40

    # The programs are stand-ins: redis, uvicorn and Vite are not on every machine.
    monkeypatch.setenv("PATH", f"{project / 'stand-ins'}{os.pathsep}{os.environ['PATH']}")
    configuration = load(project / "hostler.toml")
    directories = Directories(*(tmp_path / name for name in ("data", "state", "cache")))
    async with Supervisor(configuration, directories=directories) as supervisor:
        await supervisor.start()
        for name in set(configuration.servers) - {"migrate"}:
            await supervisor[name].wait_ready()
        assert supervisor["migrate"].completed
        assert len(supervisor.servers) == 9
