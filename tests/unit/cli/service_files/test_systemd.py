"""Units: what systemd makes of them, and those that are written by hand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hostler.cli.service_files.definition import Service
from hostler.cli.service_files.systemd import Systemd

UNITS = Path(__file__).parents[4] / "configs" / "systemd"
STRANGE = "we ird %h $HOME ${X} ; é"
QUOTED = "a \"q\" \\n 'q'"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize(("name", "is_own"), [(STRANGE, True), (QUOTED, True), (STRANGE, False)])
def test_systemd_finds_nothing_wrong_in_a_unit(tmp_path: Path, name: str, is_own: bool) -> None:
    """It exits with 0 for a key that it does not know, but says so."""
    folder = tmp_path / name
    folder.mkdir()
    program = folder / "python"
    program.symlink_to("/bin/sh")
    words = [str(program), "run", f"{folder}/hostler.toml", f"--set=a={name}"]
    service = Service("hostler-x", f"{folder}/hostler.toml", words, is_own, [("PATH", f"{folder}:/bin")])
    file = tmp_path / "hostler-x.service"
    text = Systemd().text(service)
    file.write_text(text)
    scope = "--user" if is_own else "--system"
    done = subprocess.run(
        ["systemd-analyze", "verify", scope, file],
        capture_output=True,
        text=True,
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
        check=False,
    )
    # It looks for the program: with another path it says that there is none.
    assert (done.returncode, done.stderr) == (0, "")
    assert Systemd().belongs(text, service)
    assert not Systemd().belongs(text, service._replace(configuration=f"{folder}/hostler"))
    without = Systemd().without_options(text, service)
    assert "--set" not in without
    assert without.splitlines()[-1] == text.splitlines()[-1]


@pytest.mark.parametrize(("file", "is_own"), [("hostler.service", False), ("user/hostler.service", True)])
def test_the_units_that_are_written_by_hand_agree(file: str, is_own: bool) -> None:
    own = ["/usr/bin/env", "hostler", "run", "FILE"]
    written = Systemd().text(Service("hostler", "FILE", own, is_own, [("PATH", "PATHS")] * is_own))
    by_hand = (UNITS / file).read_text()
    by_hand = re.sub(r"(?:%E|/etc)/hostler/hostler\.toml", "FILE", by_hand)
    by_hand = re.sub(r'"PATH=.*"', '"PATH=PATHS"', by_hand)
    assert by_hand[by_hand.index("[Unit]") :] == written[written.index("[Unit]") :]
