"""`hostler plugins new`: a package whose tests pass as they are written; nothing that is there is hurt."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hostler.cli import plugins_new
from hostler_process import Run
from third_party_packages import build_into, run_tests


@pytest.mark.requirement("R46")
@pytest.mark.parametrize(
    ("name", "module", "class_name"),
    [
        ("caddy", "hostler_caddy", "Caddy"),
        ("my-server-2", "hostler_my_server_2", "MyServer2"),
        ("endpoint", "hostler_endpoint", "EndpointPlugin"),
    ],
)
def test_the_tests_of_a_new_package_pass_as_they_are_written(
    run: Run, tmp_path: Path, name: str, module: str, class_name: str
) -> None:
    done = run("plugins", "new", name)
    assert (done.returncode, done.stderr) == (0, "")
    package = tmp_path / f"hostler-{name}"
    site = build_into(tmp_path / "site", package)
    tested = run_tests(package, site)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "passed" in tested.stdout
    assert class_name in (site / module / "__init__.py").read_text()
    assert (site / module / "py.typed").exists()


@pytest.mark.parametrize("first", ["anyio", "asyncio"])
@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_the_tests_of_a_new_package_pass_beside_pytest_asyncio(
    run: Run, tmp_path: Path, mode: str, first: str
) -> None:
    pytest.importorskip("pytest_asyncio", reason="pytest-asyncio is not installed")
    run("plugins", "new", "caddy")
    package = tmp_path / "hostler-caddy"
    site = build_into(tmp_path / "site", package)
    # Which of the two plugins pytest loads first decides which of them runs the fixtures.
    options = ("-p", first, "-o", f"asyncio_mode={mode}", "-W", "ignore::pytest.PytestAssertRewriteWarning")
    tested = run_tests(package, site, *options)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "10 passed" in tested.stdout


def test_a_new_package_of_a_listener_works_as_that_of_a_plugin(
    run: Run, tmp_path: Path, environ: dict[str, str]
) -> None:
    done = run("plugins", "new", "audit-log", "--listener")
    assert done.stdout.startswith("hostler-audit-log: a package for the listener audit-log")
    package = tmp_path / "hostler-audit-log"
    site = build_into(tmp_path / "site", package)
    tested = run_tests(package, site)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "6 passed" in tested.stdout
    env = environ | {"PYTHONPATH": str(site)}
    shown = run("plugins", "audit-log", env=env).stdout
    assert shown.startswith("audit-log 0.1.0\n  Writes events to a file")
    checked = run("plugins", "check", "audit-log", "--set", f"path={tmp_path}/events", env=env)
    assert (checked.returncode, checked.stdout) == (0, "audit-log: conforms to the contract of listeners\n")


def test_the_tests_of_a_new_package_pass_on_several_workers(run: Run, tmp_path: Path) -> None:
    run("plugins", "new", "caddy")
    package = tmp_path / "hostler-caddy"
    tested = run_tests(package, build_into(tmp_path / "site", package), "-n", "2")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "10 passed" in tested.stdout


def test_a_new_package_is_a_plugin_as_soon_as_it_is_installed(
    run: Run, tmp_path: Path, environ: dict[str, str]
) -> None:
    run("plugins", "new", "caddy")
    env = environ | {"PYTHONPATH": str(build_into(tmp_path / "site", tmp_path / "hostler-caddy"))}
    shown = run("plugins", "caddy", env=env)
    assert shown.stdout.startswith("caddy 0.1.0\n  Finds where the server listens")
    checked = run("plugins", "check", "caddy", env=env)
    assert (checked.returncode, checked.stdout) == (0, "caddy: conforms to the hook contract\n")


def test_no_class_of_a_new_package_hides_what_its_files_import() -> None:
    folder = Path(plugins_new.__file__).with_name("new_plugin")
    text = "".join(path.read_text() for path in folder.glob("*.py.template"))
    imported = re.findall(r"^from \S+ import (.+)$", text, re.MULTILINE)
    names = {name for line in imported for name in line.split(", ") if name[0].isupper()}
    assert names - {"{{class}}"} == plugins_new._IMPORTED


@pytest.mark.parametrize("switches", [(), ("--listener",)])
def test_a_new_package_is_written_as_the_linters_like_it(
    run: Run, tmp_path: Path, switches: tuple[str, ...]
) -> None:
    run("plugins", "new", "caddy", *switches)
    package = tmp_path / "hostler-caddy"
    ruff, mypy = [sys.executable, "-m", "ruff"], [sys.executable, "-m", "mypy", "--strict"]
    for argv in (
        [
            *ruff,
            "check",
            "--no-cache",
            "--select",
            "ALL",
            "--ignore",
            "CPY,D,INP,S101,ANN,COM812,TC,EM,TRY003",
            ".",
        ],
        [*ruff, "format", "--no-cache", "--check", "."],
        [*mypy, "--cache-dir", str(tmp_path / "mypy"), "src/hostler_caddy/__init__.py"],
    ):
        done = subprocess.run(argv, cwd=package, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_next_steps_are_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    done = run("plugins", "new", "caddy", "--into", "code")
    assert "code/hostler-caddy: a package for the plugin caddy" in done.stdout
    assert "  tests/test_caddy.py" in done.stdout
    assert "pip install -e '.[test]'" in done.stdout
    project = tomllib.loads((tmp_path / "code" / "hostler-caddy" / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["hostler.plugins"] == {"caddy": "hostler_caddy:Caddy"}


@pytest.mark.parametrize(
    ("name", "likely"),
    [
        ("Foo_Bar", "foo-bar"),
        ("MyServer", "my-server"),
        ("hostler-caddy", "caddy"),
        ("caddy server", "caddy-server"),
        ("caddy--2", "caddy-2"),
        ("../caddy", "caddy"),
        ("caddy.", "caddy"),
    ],
)
def test_a_name_that_is_none_is_refused_with_a_proposal(
    run: Run, tmp_path: Path, name: str, likely: str
) -> None:
    done = run("plugins", "new", name)
    assert done.returncode == 2
    assert f'"{name}" cannot be the name of a plugin' in done.stderr
    assert f'did you mean "{likely}"?' in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["2-caddies", "-", "", "ü", "a" * 41])
def test_a_name_without_a_likely_one_is_refused_with_the_rule(run: Run, tmp_path: Path, name: str) -> None:
    done = run("plugins", "new", "--", name) if name.startswith("-") else run("plugins", "new", name)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_ever_overwritten(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hostler-caddy").mkdir()
    (tmp_path / "hostler-caddy" / "README.md").write_text("mine")
    done = run("plugins", "new", "caddy")
    assert done.returncode == 2
    assert "hostler-caddy exists already; nothing was written" in done.stderr
    assert [path.name for path in (tmp_path / "hostler-caddy").iterdir()] == ["README.md"]
    assert (tmp_path / "hostler-caddy" / "README.md").read_text() == "mine"


def test_a_folder_that_is_not_there_is_a_mistake_in_the_call(run: Run) -> None:
    done = run("plugins", "new", "caddy", "--into", "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of a page needs root")
def test_what_cannot_be_written_whole_is_not_written_at_all(run: Run, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(small)], check=True)

    try:
        done = run("plugins", "new", "caddy", "--into", str(small))
        assert done.returncode == 1
        assert "cannot be written: No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_folder_in_which_nothing_can_be_made_is_told(run: Run) -> None:
    done = run("plugins", "new", "caddy", "--into", "/proc")
    assert done.returncode == 1
    assert "/proc/hostler-caddy cannot be made" in done.stderr
