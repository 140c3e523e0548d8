"""Which words of a call are a file, a folder or the names of servers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostler_process import Configure, Run

TASK = '[servers.web]\nkind = "task"\ncommand = ["true"]\n'


def test_a_word_that_is_no_file_is_a_server_of_the_configuration_here(
    configure: Configure, run: Run, tmp_path: Path
) -> None:
    configure(text=TASK + TASK.replace("web", "other"))
    (tmp_path / "web").mkdir()  # where its sources are

    done = run("run", "web")

    assert done.returncode == 0
    assert "web task completed" in done.stdout + done.stderr
    assert "other" not in done.stdout + done.stderr


@pytest.mark.parametrize("words", [("run", "wbe"), ("run", "hostler.toml", "wbe"), ("show", "wbe")])
def test_a_misspelt_server_is_told_with_the_likely_one(
    configure: Configure, run: Run, words: tuple[str, ...]
) -> None:
    configure(text=TASK)
    done = run(*words)
    assert done.returncode == 2
    assert "no server 'wbe' in hostler.toml; did you mean \"web\"?" in done.stderr


@pytest.mark.parametrize(
    "words", [("run", "sub"), ("check", "sub"), ("show", "sub"), ("explain", "sub", "web")]
)
def test_a_folder_stands_for_its_configuration(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "hostler.toml").write_text(TASK)
    assert run(*words).returncode == 0


def test_a_folder_without_a_configuration_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    assert "sub/hostler.toml: there is no such file" in run("check", "sub").stderr
