"""One configuration or two, where links lead to it; and configurations that are no files."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from cli_project import eventually
from hostler_process import Hostler, Run, Start, server_table

ALREADY = "it is already run by another hostler"


def end(hostler: Hostler) -> None:
    hostler.send(signal.SIGTERM)
    assert hostler.end() == 0


@pytest.fixture
def releases(tmp_path: Path) -> list[Path]:
    """Two releases of one project, with a link to the first."""
    folders = [tmp_path / "releases" / number for number in ("42", "43")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "hostler.toml").write_text(server_table(name="web"))
    (tmp_path / "current").symlink_to(folders[0])
    return folders


def turn_over(link: Path, target: Path) -> None:
    fresh = link.with_name("fresh")
    fresh.symlink_to(target)
    fresh.replace(link)


def test_two_projects_that_link_one_file_are_two_each_with_the_paths_of_its_own_folder(
    tmp_path: Path, start: Start
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "hostler.toml").write_text(server_table("--print", "${config.dir}", name="web"))
    both = []

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "hostler.toml").symlink_to("../shared/hostler.toml")
        both.append(start("run", "--debug", cwd=tmp_path / name))
        both[-1].wait_for("web server started")
        both[-1].wait_for(str(tmp_path / name))

    for hostler in both:
        end(hostler)


@pytest.mark.parametrize("is_file", [False, True], ids=["the folder", "the file"])
def test_what_is_behind_a_link_that_is_turned_over_is_the_same_configuration(
    tmp_path: Path, releases: list[Path], start: Start, run: Run, is_file: bool
) -> None:
    link = tmp_path / ("hostler.toml" if is_file else "current")
    targets = [folder / "hostler.toml" if is_file else folder for folder in releases]
    file = "hostler.toml" if is_file else "current/hostler.toml"
    turn_over(link, targets[0])
    hostler = start("run", file)
    pid = hostler.wait_for("web server started").split("pid ")[1].split(",")[0]
    os.kill(int(pid), signal.SIGKILL)
    hostler.wait_for("restart")
    turn_over(link, targets[1])
    assert ALREADY in run("run", file).stderr
    assert f"supervised by hostler (pid {hostler.process.pid})" in run("explain", file).stdout
    assert "SIGKILL" in run("crashes", file).stdout
    end(hostler)


def test_whichever_way_leads_to_it_a_configuration_is_run_once(
    tmp_path: Path, releases: list[Path], environ: dict[str, str], start: Start, run: Run
) -> None:
    hostler = start("run", "current/hostler.toml")
    hostler.wait_for("web server started")
    entered = {"cwd": tmp_path / "current", "env": environ | {"PWD": str(tmp_path / "current")}}
    assert ALREADY in run("run", "releases/42/hostler.toml").stderr
    assert ALREADY in run("run", **entered).stderr
    turn_over(tmp_path / "current", releases[1])
    assert "supervised by" in run("explain", cwd=releases[0], env=entered["env"]).stdout, "an old shell"
    assert "it has not been started yet" in run("explain", "releases/42/hostler.toml").stdout
    end(hostler)


def test_state_of_a_real_folder_is_found_by_a_link_too(
    tmp_path: Path, releases: list[Path], start: Start, run: Run
) -> None:
    hostler = start("run", "releases/42/hostler.toml")
    hostler.wait_for("web server started")
    assert ALREADY in run("run", "current/hostler.toml").stderr
    end(hostler)
    assert "a stop was requested" in run("explain", "current/hostler.toml").stdout


@pytest.mark.parametrize("words", ["<(cat web.toml)", "- < <(cat web.toml)"])
def test_a_configuration_comes_through_a_pipe_as_if_it_stood_in_the_current_folder(
    tmp_path: Path, start: Start, run: Run, words: str
) -> None:
    web = server_table("--print", "${config.dir}", name="web")
    (tmp_path / "web.toml").write_text(f'extends = ["base.toml"]\n{web}')
    (tmp_path / "base.toml").write_text('[servers.web]\nstop_signal = "SIGTERM"\n')
    hostler = start("run", "--debug", before=("bash", "-c", f'exec "$@" {words}', "bash"))
    hostler.wait_for("web server started")
    hostler.wait_for(str(tmp_path))
    # The state is written a little later than it is shown.
    eventually(lambda: "is running" in run("explain", "-", input=web).stdout)
    hostler.send(signal.SIGHUP)
    hostler.wait_for("cannot be read again")
    hostler.wait_for("reload failed; the running configuration is unchanged")
    end(hostler)


def test_mistakes_in_what_comes_from_standard_input_are_told_with_their_lines(run: Run) -> None:
    done = run("check", "-", input="[servers.web]\ncomand = []\n")
    assert done.returncode == 2
    assert done.stderr.startswith("-:2: servers.web.comand: unknown key")
