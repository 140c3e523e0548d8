"""What hostler's fixtures do for the tests of a plugin, and that they leave all other tests alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import anyio
import psutil
import pytest
from child_environment import without_coverage
from hostler import (
    Duration,
    Endpoint,
    Healthy,
    InvalidConfiguration,
    Launch,
    Notice,
    Report,
    Server,
    ServerView,
    Spawned,
    StartupTimeout,
    State,
    Unhealthy,
    hookimpl,
    option,
)
from hostler.testing import FakeChild, VirtualLoop
from hostler.testing.servers import Servers
from hostler.testing.simulation.virtual_clock import VirtualClock
from third_party_packages import WITHOUT

FakeServer = Callable[..., list[str]]


@dataclass(eq=False)
class Greeter:
    """Says hello when its server is up."""

    word: str = option("hello", "what it says")

    @hookimpl
    async def on_ready(self, server: ServerView, endpoint: Endpoint | None) -> None:
        server.notice("greeting", f"{self.word} from {server.url}")


GREETER = """
from dataclasses import dataclass
from hostler import hookimpl

@dataclass(eq=False)
class Greeter:
    @hookimpl
    async def on_ready(self, server):
        server.notice("greeting", "hello")
"""


async def test_a_server_is_real_and_ready(hostler_server: Servers, fake_server: FakeServer) -> None:
    server = await hostler_server(fake_server())
    assert server.state is State.RUNNING
    assert server.pid is not None
    assert psutil.pid_exists(server.pid)
    assert server.url is not None


async def test_plugins_are_tables_or_objects_in_their_order(
    hostler_server: Servers, fake_server: FakeServer
) -> None:
    plugins = {"regex-port": True, "greeter": Greeter("good morning"), "tcp-health": {"interval": "1s"}}
    server = await hostler_server(fake_server(), plugins=plugins, name="web", startup_timeout="20s")
    assert [plugin.name for plugin in server.spec.plugins] == ["regex-port", "greeter", "tcp-health"]
    assert server.spec.startup_timeout == 20
    assert server.name == "web"
    notice = await hostler_server.wait_for(Notice, topic="greeting")
    assert notice.text == f"good morning from {server.url}"
    assert hostler_server.told(Notice, topic="greeting") == [notice]


async def test_a_plugin_may_stand_in_a_file_beside_the_test(
    hostler_server: Servers, fake_server: FakeServer, tmp_path: Path
) -> None:
    servers = Servers(hostler_server.home, tmp_path)
    (tmp_path / "greeter.py").write_text(GREETER)
    try:
        await servers(fake_server(), plugins={"greeter": {"use": "greeter.py:Greeter"}})
        assert (await servers.wait_for(Notice, topic="greeting")).text == "hello"
    finally:
        await servers.close()


async def test_an_event_that_does_not_come_is_told_with_what_came(
    hostler_server: Servers, fake_server: FakeServer
) -> None:
    await hostler_server(fake_server())
    with pytest.raises(
        AssertionError, match=r"no Notice with .*'topic': 'never'.* within 0.1 s: \[StateChanged"
    ):
        await hostler_server.wait_for(Notice, seconds=0.1, topic="never")


async def test_a_mistake_is_told_as_in_toml_and_nothing_is_started(
    hostler_server: Servers, fake_server: FakeServer
) -> None:
    with pytest.raises(
        InvalidConfiguration, match='servers.server.plugins.tcp-health.intervall: .*"interval"'
    ):
        await hostler_server(fake_server(), plugins={"tcp-health": {"intervall": "1s"}})
    assert hostler_server.told(Spawned) == []


async def test_the_servers_live_in_a_home_of_their_own(
    hostler_server: Servers, fake_server: FakeServer
) -> None:
    hostler_server.environ["EDITOR"] = "vi"

    @dataclass(eq=False)
    class Looker:
        launch: Launch | None = None

        @hookimpl
        async def pre_spawn(self, launch: Launch) -> None:
            self.launch = launch

    looker = Looker()
    await hostler_server(fake_server(), plugins={"looker": looker})
    launch = looker.launch
    assert launch is not None
    assert launch.env["HOME"] == str(hostler_server.home)
    assert launch.host_env["EDITOR"] == "vi"
    assert not set(launch.host_env) & {"USER", "PYTEST_CURRENT_TEST"}
    places = (launch.cwd, launch.data_dir, launch.cache_dir, Path(launch.env["TMPDIR"]))
    assert all(place.is_relative_to(hostler_server.home) for place in places)


async def test_several_servers_live_side_by_side(hostler_server: Servers, fake_server: FakeServer) -> None:
    one, other = await hostler_server(fake_server()), await hostler_server(fake_server())
    assert one.url != other.url
    assert len(hostler_server.supervisors) == 2


async def test_what_a_server_fails_with_is_raised(hostler_server: Servers, fake_server: FakeServer) -> None:
    with pytest.raises(StartupTimeout):
        await hostler_server(
            fake_server("--no-listen"), startup_timeout="200ms", restart={"start_retries": 0}
        )


async def test_without_a_timeout_nobody_waits(hostler_server: Servers, fake_server: FakeServer) -> None:
    server = await hostler_server(fake_server("--announce-delay", "0.2"), timeout=None)
    assert server.state is not State.RUNNING
    await server.wait_ready(20)


async def test_what_is_left_behind_is_told(tmp_path: Path) -> None:
    servers = Servers(tmp_path / "home", tmp_path)
    argv = [sys.executable, "-c", "input()"]
    async with await anyio.open_process(argv, env=servers.environ) as sleeper:
        with pytest.raises(AssertionError, match=rf"left behind .*process {sleeper.pid} \(.*input"):
            await servers.close()
        sleeper.kill()
    await servers.close()


# -- time that jumps ---------------------------------------------------------------------------------


@dataclass(eq=False)
class Doctor:
    """Asks every half minute."""

    every: Duration = option(Duration(30), "how often it asks")
    well: bool = True

    @hookimpl
    async def health_check(self) -> AsyncGenerator[Report, None]:
        while True:
            yield Healthy() if self.well else Unhealthy("it coughs")
            await anyio.sleep(self.every)


async def test_hours_take_no_time(virtual_clock: VirtualClock) -> None:
    doctor = Doctor()
    server: Server = await virtual_clock.server(plugins={"doctor": doctor})
    began = virtual_clock.now
    await anyio.sleep(3600)
    assert virtual_clock.now - began == pytest.approx(3600)
    assert server.generation == 1
    doctor.well = False
    await anyio.sleep(100)
    assert server.generation > 1
    assert len(virtual_clock.world.children) > 1


async def test_a_simulated_child_does_what_the_test_says(virtual_clock: VirtualClock) -> None:
    server = await virtual_clock.server(on_child=FakeChild.listen, name="web")
    virtual_clock.world.children[-1].exit(3)
    await virtual_clock.settle()
    assert server.state is not State.RUNNING


def test_a_test_that_is_not_async_may_look_at_the_virtual_clock_too(virtual_clock: VirtualClock) -> None:
    assert virtual_clock.supervisors == []


# -- in the tests of others --------------------------------------------------------------------------

CONFTEST = """
    import pytest

    @pytest.fixture
    def anyio_backend():
        return "asyncio"
"""


def run_pytest(folder: Path, *words: str, **files: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a project of somebody else, which knows our plugin by its entry point."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(dedent(text))

    (folder / "pytest.ini").touch()
    env = without_coverage()
    argv = [
        sys.executable,
        "-m",
        "pytest",
        *WITHOUT,
        "-W",
        "error",
        "-W",
        "ignore:The configuration option:pytest.PytestDeprecationWarning",  # where pytest-asyncio is
        f"--basetemp={folder / 'tmp'}",
    ]
    return subprocess.run(
        [*argv, *words], cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def test_another_projects_tests_are_not_disturbed(tmp_path: Path) -> None:
    done = run_pytest(
        tmp_path,
        "-v",
        test_other="""
            import sys

            def test_nothing_of_hostler_is_imported():
                loaded = {name for name in sys.modules if name.partition(".")[0] == "hostler"}
                names = {"hostler", "hostler.imports", "hostler.imports.lazy_exports", "hostler.testing"}
                assert loaded == {*names, "hostler.testing.pytest_plugin"}

            def test_no_fixture_is_used(request):
                assert not [name for name in request.fixturenames if "hostler" in name or "virtual" in name]
        """,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_the_fixtures_come_by_the_entry_point(tmp_path: Path) -> None:
    done = run_pytest(
        tmp_path,
        "--anyio-mode=auto",
        conftest=CONFTEST,
        test_mine="""
            import anyio

            async def test_real(hostler_server, fake_server):
                assert (await hostler_server(fake_server())).url

            async def test_virtual(virtual_clock):
                server = await virtual_clock.server()
                await anyio.sleep(3600)
                assert server.uptime > 3000
        """,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.mark.parametrize("first", ["anyio", "asyncio"])  # which runs the fixtures, where both want to
@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_a_test_of_pytest_asyncio_runs_on_the_loop_of_its_fixtures(
    tmp_path: Path, mode: str, first: str
) -> None:
    pytest.importorskip("pytest_asyncio", reason="pytest-asyncio is not installed")
    done = run_pytest(
        tmp_path,
        *("-p", first, "-o", f"asyncio_mode={mode}", "-W", "ignore::pytest.PytestAssertRewriteWarning"),
        *("-W", "ignore:asyncio test:pytest.PytestDeprecationWarning"),
        conftest=CONFTEST,
        test_mine="""
            import pytest

            @pytest.mark.asyncio
            async def test_real(hostler_server, fake_server):
                assert (await hostler_server(fake_server())).url
        """,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_a_virtual_clock_on_a_loop_of_pytest_asyncio_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pytest_asyncio", reason="pytest-asyncio is not installed")
    done = run_pytest(
        tmp_path,
        *("-p", "anyio", "-o", "asyncio_mode=auto", "-W", "ignore::pytest.PytestAssertRewriteWarning"),
        conftest=CONFTEST,
        test_mine="""
            async def test_wrong(virtual_clock):
                pass
        """,
    )
    assert done.returncode == 1
    assert 'set asyncio_mode = "strict"' in done.stdout


def test_a_test_on_another_loop_is_told_what_to_do(tmp_path: Path) -> None:
    done = run_pytest(
        tmp_path,
        conftest=CONFTEST,
        test_mine="""
            import asyncio

            def test_wrong(hostler_server, fake_server):
                asyncio.run(hostler_server(fake_server()))
        """,
    )
    assert done.returncode == 1
    assert "mark it with pytest.mark.anyio" in done.stdout


def test_trio_is_told_to_be_none_of_ours(tmp_path: Path) -> None:
    done = run_pytest(
        tmp_path,
        conftest=CONFTEST.replace('"asyncio"', '("asyncio", {})'),
        test_mine="""
            import pytest

            @pytest.fixture
            def anyio_backend_name():
                return "trio"

            @pytest.mark.anyio
            async def test_wrong(hostler_server):
                pass
        """,
    )
    assert done.returncode == 1
    assert "hostler runs on asyncio" in done.stdout


def test_the_virtual_loop_is_for_those_that_ask_for_it(anyio_backend: object) -> None:
    assert anyio_backend == "asyncio"
    assert VirtualLoop.__name__ not in str(anyio_backend)
