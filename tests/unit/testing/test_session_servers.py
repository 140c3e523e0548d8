"""The servers of a hostler.toml for the tests of somebody else's project, with and without pytest-xdist."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest
from third_party_packages import WITHOUT

pytest_plugins = ["pytester"]

TOML = f"""
[servers.web]
command = ["{sys.executable}", "-m", "hostler.testing.fake_server", "--answer", "/", "200", "--print", "hi"]
startup_timeout = "20s"
[servers.web.plugins]
regex-port = true
tcp-health = true
"""
CONFTEST = """
from hostler.testing import hostler_servers

servers = hostler_servers("hostler.toml")
"""
TESTS = """
import os
import urllib.request
from pathlib import Path

import pytest

@pytest.mark.parametrize("number", range(4))
def test_it_answers(servers, number):
    web = servers["web"]
    assert web.health == "healthy"
    assert urllib.request.urlopen(web.url).status == 200
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    with Path(__file__).with_name(f"{worker}.txt").open("a") as file:
        file.write(f"{web.pid} {web.state_dir}\\n")
"""
FAILING = """
def test_wrong(servers):
    assert servers["web"].url is None
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini("[pytest]\nfilterwarnings =\n    error\n    ignore:The configuration option")
    pytester.makeconftest(CONFTEST)
    (pytester.path / "hostler.toml").write_text(TOML)
    return pytester


def run(project: pytest.Pytester, *words: str) -> pytest.RunResult:
    # A process of its own, as for others: xdist's workers are no threads either.
    return project.runpytest_subprocess(*WITHOUT, *words, timeout=100)


@pytest.mark.parametrize("words", [["-n", "0"], ["-n", "2"]], ids=["alone", "xdist"])
def test_each_process_has_servers_of_its_own_for_all_its_tests(
    project: pytest.Pytester, words: list[str]
) -> None:
    project.makepyfile(test_it=TESTS)
    run(project, *words).assert_outcomes(passed=4)
    workers = [set(path.read_text().splitlines()) for path in sorted(project.path.glob("*.txt"))]
    assert [len(seen) for seen in workers] == [1] * max(1, int(words[1]))
    pids, folders = zip(*(line.split(maxsplit=1) for seen in workers for line in seen), strict=True)
    assert len(set(pids)) == len(set(folders)) == len(workers)
    assert not any(psutil.pid_exists(int(pid)) for pid in pids)
    assert not list(Path(folders[0]).glob("runs/*"))


def test_what_a_server_writes_is_shown_for_a_test_that_fails(project: pytest.Pytester) -> None:
    project.makepyfile(test_it=FAILING)
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Captured stdout*", "web | hi"])


def test_a_server_that_does_not_start_is_told_without_the_frames_of_hostler(project: pytest.Pytester) -> None:
    broken = TOML.replace('"--print"', '"--exit-code", "3", "--exit-after", "0", "--no-listen", "--print"')
    never = "[servers.web.restart]\nmax_restarts = 0\nstart_retries = 0\n"
    (project.path / "hostler.toml").write_text(broken + never)
    project.makepyfile(test_it=FAILING)
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["hostler_servers: *web*"])
    result.stdout.no_fnmatch_line("*Traceback*")
