"""The files for hosting services, editors and pre-commit: their structure, and that what they name exists."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostler
import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOW = GITHUB / "workflows" / "ci.yml"
JOB = {
    "name",
    "needs",
    "if",
    "runs-on",
    "timeout-minutes",
    "strategy",
    "env",
    "defaults",
    "permissions",
    "steps",
}
STEP = {"name", "id", "if", "uses", "with", "run", "env", "shell", "working-directory", "timeout-minutes"}
FIELDS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}


def read(path: Path) -> dict[str, Any]:
    table = yaml.load(path.read_text(), yaml.BaseLoader)  # BaseLoader: "on" stays a word
    assert isinstance(table, dict)
    return table


def jobs() -> dict[str, Any]:
    return dict(read(WORKFLOW)["jobs"])


def steps() -> Iterator[dict[str, Any]]:
    for job in jobs().values():
        yield from job["steps"]


def test_the_workflow_has_the_keys_of_a_workflow_and_no_others() -> None:
    table = read(WORKFLOW)
    assert set(table) <= {"name", "on", "permissions", "concurrency", "env", "defaults", "jobs"}
    assert set(table["on"]) <= {"push", "pull_request", "schedule", "workflow_dispatch"}
    assert table["permissions"] == {"contents": "read"}
    assert all({"runs-on", "steps", "timeout-minutes"} <= set(job) <= JOB for job in jobs().values())
    assert all(set(step) <= STEP and ("run" in step) != ("uses" in step) for step in steps())


def test_the_workflow_covers_both_systems_and_every_python() -> None:
    matrix = jobs()["test"]["strategy"]["matrix"]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest"]
    lowest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(
        ">="
    )
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert matrix["python"][0] == lowest


def test_each_expression_of_the_workflow_names_something_that_exists() -> None:
    matrix = jobs()["test"]["strategy"]["matrix"]
    found = re.findall(r"\$\{\{ (.*?) \}\}", WORKFLOW.read_text())
    known = {"github.ref", *(f"matrix.{name}" for name in matrix), "hashFiles('pyproject.toml')"}
    assert found
    assert set(found) <= known


def test_each_action_has_a_version() -> None:
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in steps() if "uses" in step)


def test_each_command_of_the_workflow_is_sound_and_its_script_exists() -> None:
    for command in [step["run"] for step in steps() if "run" in step]:
        assert subprocess.run(["bash", "-n"], input=command, text=True, check=False).returncode == 0
        assert all(
            (ROOT / name).is_file() for name in re.findall(r"^(?:\./|(?=\.))(\S+)", command, re.MULTILINE)
        )


@pytest.mark.parametrize("name", ["bug.yml", "feature.yml"])
def test_an_issue_form_has_what_a_form_needs(name: str) -> None:
    form = read(GITHUB / "ISSUE_TEMPLATE" / name)
    assert {"name", "description", "body"} <= set(form) <= {"name", "description", "title", "labels", "body"}
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in form["body"]} <= FIELDS
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)


def test_pre_commit_runs_what_dev_lint_runs() -> None:
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    (hook,) = repository["hooks"]
    assert (repository["repo"], hook["entry"], hook["language"]) == ("local", "./dev lint", "system")
    assert hook["pass_filenames"] == "false"


def test_the_editor_s_line_is_as_long_as_ruff_s() -> None:
    longest = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["line-length"]
    assert f"max_line_length = {longest}\n" in (ROOT / ".editorconfig").read_text()


def test_python_m_hostler_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hostler", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"hostler {hostler.__version__}\n"


def test_python_m_hostler_imports_nothing_from_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise SystemExit('it was imported')")
    done = subprocess.run(
        [sys.executable, "-m", "hostler", "plugins"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
