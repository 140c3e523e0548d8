"""What a service is called, and what its file cannot have."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hostler.cli.service_files.definition import Service, describe


def of(file: str, **environ: str) -> Service:
    return describe(file, ["--profile=ci"], environ, is_own=True)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("/etc/hostler/hostler.toml", "hostler"),
        ("/srv/shop/hostler.toml", "hostler-shop"),
        ("/srv/shop/dev.toml", "hostler-dev"),
        ("/srv/my shop (2)/hostler.toml", "hostler-my-shop-2"),
        ("/srv/日本/hostler.toml", "hostler"),
        ("/hostler.toml", "hostler"),
    ],
)
def test_a_service_is_called_as_the_folder_of_its_configuration(file: str, name: str) -> None:
    assert of(file).name == name


def test_the_command_has_absolute_paths_and_the_python_that_runs(tmp_path: Path) -> None:
    environ = {"PATH": "bin:/usr/bin::/bin:/usr/bin", "XDG_STATE_HOME": "/state", "XDG_DATA_HOME": "data"}
    service = of(os.path.relpath(tmp_path / "hostler.toml"), **environ)
    python = str(Path(sys.executable).absolute())  # that of the virtual environment, not what it links to
    run = [python, "-P", "-m", "hostler.cli", "run", str(tmp_path / "hostler.toml"), "--profile=ci"]
    assert service.words == run
    assert service.variables == [("PATH", "/usr/bin:/bin"), ("XDG_STATE_HOME", "/state")]
    # Nobody but root may write to a folder that a service of root searches.
    assert describe("a.toml", [], {"PATH": "/home/me/bin"}, is_own=False).variables == ()


@pytest.mark.parametrize("word", ["a\nExecStartPre=/bin/sh", "a\x1b[31m", "a\udcff"])
def test_no_path_adds_lines_to_the_file_of_a_service(word: str) -> None:
    with pytest.raises(ValueError, match="has a character that the file of a service cannot have"):
        of(f"/srv/{word}/hostler.toml")
    assert of("/srv/hostler.toml", PATH=f"/bin:/{word}").variables == [("PATH", "/bin")]
