"""The framework: six hooks, plugins of anybody, swapped in TOML, and none of them takes the others down."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import textwrap
import time
from pathlib import Path

import anyio
import pytest
from cli_project import NOTHING, Project, eventually, five_plugins
from hostler import (
    Event,
    InvalidConfiguration,
    Notice,
    PluginError,
    PluginFailed,
    ServerError,
    State,
    StateChanged,
)
from hostler.plugins.discovery import installed
from hostler.plugins.signatures import FORMS

ALL_HOOKS = '''
from dataclasses import dataclass
from hostler import Healthy, hookimpl, option

@dataclass(eq=False)
class Teller:
    """Writes down every call of a hook."""

    file: str = option("", "where to")

    def tell(self, word):
        with open(self.file, "a") as file:
            file.write(word + "\\n")

    @hookimpl
    async def pre_spawn(self, server, launch):
        self.tell("pre_spawn")

    @hookimpl
    def parse_port(self, server, line, stream):
        self.tell("parse_port")

    @hookimpl
    async def health_check(self, server, endpoint):
        self.tell("health_check")
        yield Healthy()

    @hookimpl
    async def on_ready(self, server, endpoint):
        self.tell("on_ready")

    @hookimpl
    async def on_crash(self, server, exit):
        self.tell(f"on_crash {exit.code}")

    @hookimpl
    async def on_shutdown(self, server, reason):
        self.tell("on_shutdown")
'''

PREPARES = "async def pre_spawn(self, server):\n    server.notice('swapped', 'by mine')"
SWAPPED = {
    "opencode": PREPARES,
    "regex-port": (
        "def parse_port(self, server, line):\n"
        "    server.notice('swapped', 'by mine')\n"
        "    return Endpoint('127.0.0.1', int(line.rpartition(':')[2])) if 'listening' in line else None"
    ),
    "sse-health": (
        "async def health_check(self, server):\n    server.notice('swapped', 'by mine')\n    yield Healthy()"
    ),
    "log-rotation": PREPARES,
    "env-sanitizer": PREPARES,
}


def plugin(world: Project, body: str, name: str = "mine") -> dict[str, object]:
    """The table of a plugin written into a file beside the configuration."""
    text = f"""
        import asyncio, time
        from dataclasses import dataclass
        from hostler import Endpoint, Healthy, Unhealthy, hookimpl

        @dataclass(eq=False)
        class Mine:
            @hookimpl
            {textwrap.indent(body, "            ").strip()}
    """
    world.write(textwrap.dedent(text).replace("\t", "    "), f"{name}.py")
    return {"use": f"{name}.py:Mine"}


@pytest.mark.requirement("R45")
async def test_the_six_hooks_are_called_in_the_course_of_a_life(world: Project) -> None:
    world.write(ALL_HOOKS, "teller.py")
    told = world.home / "told"
    plugins = {"teller": {"use": "teller.py:Teller", "file": str(told)}} | five_plugins()
    file = world.fake("--crash-when-ready", "0.3", "--exit-code", "10", plugins=plugins)
    async with world.supervisor(file) as supervisor:
        with anyio.fail_after(20):
            await supervisor["fake"].until(lambda: supervisor["fake"].restarts == 1)
            await supervisor["fake"].wait_ready()

    words = list(dict.fromkeys(told.read_text().splitlines()))
    assert words == ["pre_spawn", "parse_port", "health_check", "on_ready", "on_crash 10", "on_shutdown"]
    assert {word.split()[0] for word in words} == set(FORMS)


@pytest.mark.requirement("R45")
@pytest.mark.parametrize("name", SWAPPED)
async def test_every_bundled_plugin_can_be_swapped_by_changing_its_line(name: str, world: Project) -> None:
    assert name in installed()
    events: list[Event] = []
    file = world.fake(plugins=five_plugins() | {name: plugin(world, SWAPPED[name])})
    async with world.supervisor(file, events) as supervisor:
        await supervisor["fake"].wait_ready(20)
    assert "swapped" in [event.topic for event in events if isinstance(event, Notice)]
    assert world.what_is_left() == NOTHING


@pytest.mark.requirement("R45")
@pytest.mark.parametrize("name", ["opencode", "sse-health", "log-rotation", "env-sanitizer"])
async def test_a_bundled_plugin_can_be_left_out(name: str, world: Project) -> None:
    plugins = {key: value for key, value in five_plugins().items() if key != name}
    async with world.supervisor(world.fake(plugins=plugins | {name: False})) as supervisor:
        await supervisor["fake"].wait_ready(20)
        assert [spec.name for spec in supervisor["fake"].spec.plugins] == list(plugins)


CADDY = '''
"""A plugin of somebody else."""
from dataclasses import dataclass
from hostler import Endpoint, hookimpl, option

@dataclass(eq=False)
class Elsewhere:
    """Knows another kind of server."""

    word: str = option("up at", "what stands before the port")

    @hookimpl
    def parse_port(self, server, line):
        found = line.partition(self.word)[2].strip()
        return Endpoint("127.0.0.1", int(found)) if found.isdigit() else None

    @hookimpl
    async def on_ready(self, server, endpoint):
        server.notice("elsewhere_ready", f"elsewhere is at {endpoint.port}")
'''


@pytest.mark.requirement("R46")
@pytest.mark.parametrize("how", ["by path", "installed"])
def test_a_plugin_of_others_serves_another_server(how: str, world: Project) -> None:
    options: dict[str, object] = {"word": "here:"}
    variables = {}

    if how == "by path":
        world.write(CADDY, "elsewhere.py")
        options["use"] = "elsewhere.py:Elsewhere"
    else:
        variables["PYTHONPATH"] = str(install(world.home / "site"))

    file = world.fake("--announce", "here: {port}", plugins={"elsewhere": options, "env-sanitizer": {}})
    command = world.hostler("run", file, "--json", **variables)
    assert "elsewhere is at" in command.event(event="notice", topic="elsewhere_ready")["text"]
    assert command.stop(signal.SIGTERM) == 0

    if how == "installed":
        page = world.hostler("plugins", "elsewhere", **variables)
        assert page.end() == 0
        assert "Knows another kind of server." in "\n".join(page.out)


def install(site: Path) -> Path:
    """Leave what an installer leaves: a module, and the metadata with its entry point."""
    (site / "elsewhere-1.0.dist-info").mkdir(parents=True)
    (site / "elsewhere.py").write_text(CADDY)
    (site / "elsewhere-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n"
    )
    entry = "[hostler.plugins]\nelsewhere = elsewhere:Elsewhere\n"
    (site / "elsewhere-1.0.dist-info" / "entry_points.txt").write_text(entry)
    return site


@pytest.mark.requirement("R9", "R45")
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("async def on_raedy(self): pass", ["on_raedy", "on_ready"]),
        ("def on_ready(self): pass", ["on_ready", "async def"]),
        ("async def parse_port(self, line): pass", ["parse_port", "def"]),
        ("async def health_check(self): pass", ["health_check", "yield"]),
        ("async def on_ready(self, sever): pass", ["on_ready", "sever", "server"]),
    ],
    ids=["misspelt hook", "def for async def", "async def for def", "no generator", "misspelt argument"],
)
def test_a_malformed_plugin_is_told_before_anything_starts(
    body: str, words: list[str], world: Project
) -> None:
    file = world.fake(plugins=five_plugins() | {"mine": plugin(world, body)})
    command = world.hostler("check", file)
    assert command.end() in {1, 2}
    text = "\n".join(command.err)
    assert "mine" in text
    assert all(word in text for word in words), text


FAULTS = {
    "raises in parse_port": (
        "def parse_port(self, line): raise RuntimeError('bad day')",
        "parse_port",
        "bad day",
    ),
    "raises in on_ready": ("async def on_ready(self): raise RuntimeError('bad day')", "on_ready", "bad day"),
    "raises in on_shutdown": (
        "async def on_shutdown(self): raise RuntimeError('bad day')",
        "on_shutdown",
        "bad day",
    ),
    "hangs in on_ready": ("async def on_ready(self): await asyncio.sleep(3600)", "on_ready", "longer than"),
    "hangs in on_shutdown": (
        "async def on_shutdown(self): await asyncio.sleep(3600)",
        "on_shutdown",
        "longer than",
    ),
}


@pytest.mark.requirement("R45")
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_faulty_plugin_is_named_and_does_not_take_the_others_down(fault: str, world: Project) -> None:
    body, hook, words = FAULTS[fault]
    events: list[Event] = []
    world.write(ALL_HOOKS, "teller.py")
    told = world.home / "told"
    teller = {"use": "teller.py:Teller", "file": str(told)}
    file = world.fake(plugins={"mine": plugin(world, body), **five_plugins(), "teller": teller})
    async with world.supervisor(file, events) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        if hook == "on_ready":
            await asyncio.to_thread(
                eventually, lambda: any(isinstance(event, PluginFailed) for event in list(events))
            )
        assert server.state is State.RUNNING
        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < 5

    failed = [event for event in events if isinstance(event, PluginFailed)]
    assert {(event.plugin, event.hook) for event in failed} == {("mine", hook)}
    assert words in failed[0].reason
    assert {"pre_spawn", "health_check", "on_ready", "on_shutdown"} <= set(told.read_text().splitlines())
    assert world.what_is_left() == NOTHING


@pytest.mark.requirement("R45")
async def test_a_hook_that_fails_three_times_in_a_row_is_taken_out(world: Project) -> None:
    events: list[Event] = []
    body = "def parse_port(self, line): raise RuntimeError('bad day')"
    lines = [word for number in range(6) for word in ("--print", f"line {number}")]
    file = world.fake(*lines, plugins={"mine": plugin(world, body), **five_plugins()})
    async with world.supervisor(file, events) as supervisor:
        await supervisor["fake"].wait_ready(20)
    failed = [event for event in events if isinstance(event, PluginFailed)]
    assert [event.disabled for event in failed] == [False, False, True]


@pytest.mark.requirement("R45")
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("async def pre_spawn(self, launch): raise RuntimeError('bad day')", "bad day"),
        ("async def pre_spawn(self, launch): await asyncio.sleep(3600)", "longer than"),
    ],
    ids=["raises", "hangs"],
)
async def test_nothing_is_spawned_when_a_preparation_fails(body: str, words: str, world: Project) -> None:
    touched = world.home / "touched"
    plugins = five_plugins() | {"mine": plugin(world, body)}
    file = world.fake("--touch", str(touched), plugins=plugins, prepare_timeout="500ms")
    async with world.supervisor(file) as supervisor:
        with pytest.raises(ServerError, match="mine") as caught:
            await supervisor["fake"].wait_ready(20)

    assert words in str(caught.value)
    assert not touched.exists()
    assert world.what_is_left() == NOTHING


@pytest.mark.requirement("R45")
async def test_a_health_plugin_that_fails_says_unknown_and_ends_in_an_error_with_its_name(
    world: Project,
) -> None:
    body = "async def health_check(self):\n    raise RuntimeError('bad day')\n    yield"
    file = world.fake(
        plugins=five_plugins() | {"mine": plugin(world, body)},
        startup_timeout="1s",
        restart={"start_retries": 0},
    )
    async with world.supervisor(file) as supervisor:
        with pytest.raises(PluginError, match="mine"):
            await supervisor["fake"].wait_ready(20)


@pytest.mark.requirement("R45")
async def test_a_plugin_that_floods_with_reports_does_not_stop_the_server(world: Project) -> None:
    body = "async def health_check(self):\n    while True:\n        yield Healthy()"
    file = world.fake(plugins=five_plugins() | {"mine": plugin(world, body)})
    async with world.supervisor(file) as supervisor:
        await supervisor["fake"].wait_ready(20)
        began = time.monotonic()
        await supervisor["fake"].stop()
        assert time.monotonic() - began < 5
    assert world.what_is_left() == NOTHING


@pytest.mark.requirement("R45")
async def test_a_plugin_that_floods_with_notices_does_not_stop_the_server(world: Project) -> None:
    events: list[Event] = []
    body = "async def on_ready(self, server):\n    for n in range(100000): server.notice('flood', str(n))"
    file = world.fake(plugins=five_plugins() | {"mine": plugin(world, body)})
    async with world.supervisor(file, events) as supervisor:
        await supervisor["fake"].wait_ready(20)
        await supervisor["fake"].stop()
    assert [event.state for event in events if isinstance(event, StateChanged)][-1] is State.STOPPED


def test_a_plugin_that_nobody_names_hurts_nobody(world: Project) -> None:
    site = install(world.home / "site")
    (site / "elsewhere.py").write_text("raise RuntimeError('broken at import')\n")
    command = world.hostler("check", world.fake(), PYTHONPATH=str(site))
    assert command.end() == 0
    named = world.hostler("check", world.fake(plugins={"elsewhere": {}}), PYTHONPATH=str(site))
    assert named.end() in {1, 2}
    assert re.search("elsewhere.*broken at import", "\n".join(named.err), re.DOTALL)


HOST = """
import asyncio, logging, os, signal, sys
from hostler import Supervisor, load

def surroundings():
    signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    return dict(os.environ), signals, list(logging.root.handlers), os.getcwd()

async def main():
    before = surroundings()
    async with Supervisor(load(sys.argv[1])) as one, Supervisor(load(sys.argv[2])) as other:
        await asyncio.gather(one.wait_ready(timeout=20), other.wait_ready(timeout=20))
        assert one["fake"].url != other["fake"].url
        assert before == surroundings()
        assert one["fake"].memory > 0 and one["fake"].uptime > 0
    assert before == surroundings()
    print("done")

asyncio.run(main())
"""


@pytest.mark.requirement("R48")
def test_a_program_keeps_two_configurations_and_stays_as_it_was(world: Project) -> None:
    one = world.fake()
    other = world.project / "other.toml"
    other.write_text(one.read_text())
    program = world.write(HOST, "host.py")
    command = world.start([sys.executable, str(program), str(one), str(other)])
    assert command.end() == 0, command.err
    assert command.out[-1] == "done"
    assert command.err == []
    assert world.what_is_left() == NOTHING


@pytest.mark.requirement("R44", "R48")
def test_the_example_of_the_library_runs(world: Project) -> None:
    root = Path(__file__).parents[2]
    example, demo = root / "examples" / "library.py", root / "configs" / "demo.toml"
    command = world.start([sys.executable, str(example), str(demo)])
    assert command.end(40) == 0, command.err
    assert "stopped, nothing is left" in command.out
    assert world.what_is_left() == NOTHING


def test_a_wrong_option_of_a_plugin_is_told_with_what_was_meant(world: Project) -> None:
    with pytest.raises(InvalidConfiguration, match='did you mean "max_size"'):
        world.load(world.fake(plugins=five_plugins(log_rotation={"max_sice": "1 MiB"})))
