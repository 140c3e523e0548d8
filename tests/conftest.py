"""What all tests share: private directories, and servers of the fake kind."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from children import has_children
from cli_project import Project
from downloads import cache_folder, npm_with_network
from hostler import Directories, Launch, ServerSpec
from hypothesis import HealthCheck, settings
from servers import fake_server
from specs import QUICK, MakeSpec, announced

TESTS = Path(__file__).parent

# HYPOTHESIS_PROFILE=many looks for mistakes for minutes instead of seconds. A busy machine is no mistake.
settings.register_profile(
    "quick", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("many", settings.get_profile("quick"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# By name here and not by its entry point (see addopts): that one is imported before coverage looks.
pytest_plugins = ["hostler.testing.pytest_plugin"]


def pytest_configure(config: pytest.Config) -> None:
    """The usual signals for children, also below `nohup`, and a HOME that is not the user's."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)  # not obeyed here, and not inherited by a program
    if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker inherits it
        config.add_cleanup(leave_the_home(cache_folder()))


def leave_the_home(cache: Path) -> Callable[[], None]:
    """Move HOME, and what else says where files of a user go, below the tests' cache; how it is removed."""
    home = tempfile.TemporaryDirectory(dir=cache, prefix="home-", ignore_cleanup_errors=True)
    settings_of_npm = Path.home() / ".npmrc"  # with the user's registry
    if settings_of_npm.exists():
        os.environ.setdefault("npm_config_userconfig", str(settings_of_npm))
    for name in ("CONFIG_HOME", "DATA_HOME", "STATE_HOME", "CACHE_HOME", "RUNTIME_DIR"):
        os.environ.pop(f"XDG_{name}", None)
    os.environ |= {"HOME": home.name, "TESTS_CACHE": str(cache), "npm_config_cache": str(cache / "npm")}
    return home.cleanup


@pytest.fixture
def network() -> None:
    """Skip a test that downloads where npm is missing or does not reach its registry."""
    npm_with_network()


@pytest.fixture(autouse=True)
def children_are_measured_where_that_shows_something(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Coverage costs each child an eighth of a second: not where others run the same lines."""
    if not {"acceptance", "faults", "project", "security"}.isdisjoint(request.path.relative_to(TESTS).parts):
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture
def anyio_backend() -> object:
    """hostler runs on asyncio; with TESTS_ON=uvloop on that loop."""
    return ("asyncio", {"use_uvloop": True}) if os.environ.get("TESTS_ON") == "uvloop" else "asyncio"


@pytest.fixture
def directories(tmp_path: Path) -> Directories:
    """Private state, data and cache."""
    return Directories(tmp_path / "state", tmp_path / "data", tmp_path / "cache")


@pytest.fixture
def make_spec(tmp_path: Path) -> MakeSpec:
    """Specs of fake servers whose restarts do not wait, in a directory of the test's own."""

    def make(*switches: str, plugins: tuple[Any, ...] = (announced(),), **fields: Any) -> ServerSpec:
        given: dict[str, Any] = {"name": "fake", "restart": QUICK, "cwd": tmp_path} | fields
        command = tuple(fake_server("--port", "${server.port}", "--host", "${server.host}", *switches))
        return ServerSpec(**({"command": command, "plugins": plugins} | given))

    return make


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Project]:
    """A home of the test's own; what the test started in it is gone at its end."""
    world = Project(tmp_path / "home")
    yield world
    for command in world.started:
        if command.process.poll() is None:
            command.process.kill()
        command.end()
    assert world.processes() == {}


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """After every test: no child of this process lives on. One that does is told, and ended for the next.

    What a fixture of the whole module started, such as a browser, is that module's to end.
    """
    before = set(psutil.Process().children()) if has_children() else set()
    yield

    if not has_children():
        return

    new = [child for child in psutil.Process().children() if child not in before]
    every = [one for child in new for one in (child, *child.children(recursive=True))]
    left = [child for child in every if child.status() != "zombie"]
    told = [(child.pid, child.cmdline()) for child in left]

    for child in left:
        child.kill()

    psutil.wait_procs(left, timeout=5.0)
    assert not left, f"left behind: {told}"


@pytest.fixture(autouse=True)
def no_private_folder_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After every test: what its launches made in /tmp is gone. What is not is told, and removed."""
    made: list[Path] = []
    remove_at_end = Launch.remove_at_end

    @functools.wraps(remove_at_end)  # pages are written from what it looks like
    def note(launch: Launch, path: Path) -> None:
        made.append(path)
        remove_at_end(launch, path)

    monkeypatch.setattr(Launch, "remove_at_end", note)
    yield
    left = [path for path in made if path.name.startswith("hostler-") and path.exists()]
    for path in left:
        shutil.rmtree(path)

    assert not left


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[int]]:
    """The pids of living processes whose command line holds a word."""

    def find(word: str) -> list[int]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != "zombie" and word in " ".join(process.cmdline()):
                    found.append(process.pid)
            except psutil.Error:
                continue
        return [pid for pid in found if pid != os.getpid()]

    return find
