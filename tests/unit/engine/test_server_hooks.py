"""The hooks in the life of a server, its facts and its output."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from children import lives
from hostler import (
    Action,
    Advice,
    Directories,
    Endpoint,
    Exit,
    InvalidConfiguration,
    Launch,
    OutputMode,
    PluginSpec,
    RestartPolicy,
    Server,
    ServerCrashed,
    ServerView,
    State,
    StreamEvent,
    StreamGap,
    hookimpl,
)
from specs import QUICK, MakeSpec, announced
from supervised_servers import reaches, reaches_failed, supervised

REGEX = announced()


def port_of(server: Server) -> int:
    assert server.endpoint is not None
    return server.endpoint.port


def with_health(plugin: object) -> tuple[PluginSpec, ...]:
    return (REGEX, PluginSpec("says", instance=plugin))


@dataclass(eq=False)
class Watcher:
    """Notes which hooks are called, and uses what a server offers to plugins."""

    advice: Advice | None = None
    log: list[str] = field(init=False, default_factory=list)
    _task: Callable[[], Awaitable[None]] | None = field(init=False, default=None)

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        self.log.append(f"pre_spawn {server.state.value}")
        launch.facts["version"] = "1.2.3"
        launch.set_secret("FAKE_TOKEN", "sesame-open-sesame")
        server.publish("FAKE_URL", "${server.url}")
        server.publish("FAKE_PASSWORD", "sesame-open-sesame", secret=True)
        server.start_soon(self._background)

    async def _background(self) -> None:
        self.log.append("background")

    @hookimpl
    async def on_ready(self, server: ServerView, endpoint: Endpoint | None) -> None:
        self.log.append(f"on_ready {endpoint.url if endpoint else None} {server.facts['version']}")
        server.deliver(StreamEvent("hello", "{}"))
        server.deliver(StreamGap("reconnected"))

    @hookimpl
    async def on_crash(self, server: ServerView, exit: Exit) -> Advice | None:
        self.log.append(f"on_crash {exit.description}")
        return self.advice

    @hookimpl
    async def on_shutdown(self, server: ServerView, reason: str) -> None:
        self.log.append(f"on_shutdown {server.state.value} {reason}")


async def test_the_hooks_are_fired_in_order(make_spec: MakeSpec, directories: Directories) -> None:
    plugin = Watcher()
    async with supervised(make_spec(plugins=with_health(plugin)), directories) as supervisor:
        server = supervisor["fake"]
        stream = server.stream_events()
        await server.wait_ready(10)
        url = server.url
        with anyio.fail_after(5):
            assert [await anext(stream), await anext(stream)] == [
                StreamEvent("hello", "{}"),
                StreamGap("reconnected"),
            ]
        assert server.event_count == 1
        assert server.child_env({}) == {"FAKE_URL": url, "FAKE_PASSWORD": "sesame-open-sesame"}
        assert "HOSTLER_RUN_ID" not in server.child_env()

    assert plugin.log == [
        "pre_spawn starting",
        "background",
        f"on_ready {url} 1.2.3",
        "on_shutdown stopping stop asked for",
    ]


async def test_advice_to_give_up_ends_in_failed_with_the_plugins_error(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Watcher(Advice(Action.GIVE_UP, InvalidConfiguration("the plugin knows why")))
    spec = make_spec("--exit-after", "0.2", "--exit-code", "7", plugins=with_health(plugin))
    async with supervised(spec, directories) as supervisor:
        with pytest.raises(InvalidConfiguration, match="the plugin knows why"):
            await reaches_failed(supervisor["fake"])
        assert supervisor["fake"].generation == 1
    assert "on_crash exit code 7" in plugin.log


async def test_advice_to_restart_now_skips_the_delay_and_is_counted(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Watcher(Advice(Action.RESTART_NOW))
    policy = RestartPolicy(initial_delay=60.0, max_delay=60.0, max_restarts=1)
    spec = make_spec("--exit-after", "0.3", plugins=with_health(plugin), restart=policy)
    async with supervised(spec, directories) as supervisor:
        with anyio.fail_after(10):
            await reaches(supervisor["fake"], State.FAILED)
        assert supervisor["fake"].generation == 2


@pytest.mark.requirement("R29")
async def test_a_secret_is_masked_in_lines_and_errors(make_spec: MakeSpec, directories: Directories) -> None:
    switches = ("--print-env", "FAKE_TOKEN", "--exit-after", "0.3")
    policy = replace(QUICK, max_restarts=0)
    spec = make_spec(*switches, plugins=with_health(Watcher()), restart=policy)
    async with supervised(spec, directories) as supervisor:
        lines = supervisor["fake"].lines()
        with anyio.fail_after(5):
            first = await anext(lines)
        assert first.text == "FAKE_TOKEN=********"
        with pytest.raises(ServerCrashed) as caught:
            await reaches_failed(supervisor["fake"])

    assert "sesame" not in str(caught.value)
    assert "********" in caught.value.context.stdout


async def test_lines_can_be_followed_from_the_middle(make_spec: MakeSpec, directories: Directories) -> None:
    async with supervised(make_spec("--log-requests"), directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        lines = server.lines()
        reader = await anyio.connect_tcp("127.0.0.1", port_of(server))
        await reader.send(b"GET /config HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        with anyio.fail_after(5):
            line = await anext(lines)
        assert line.text == "request GET /config"
        await reader.aclose()


async def test_streams_that_are_not_captured_leave_the_configured_port(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec(stdout=OutputMode.IGNORE, stderr=OutputMode.IGNORE)
    async with supervised(spec, directories) as supervisor:
        await supervisor["fake"].wait_ready(10)


async def test_a_crash_does_not_wait_for_a_grandchild_that_holds_the_pipe(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with supervised(make_spec("--spawn-session-child"), directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        assert server._engine.run is not None
        old = server._engine.run.members()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        with anyio.fail_after(3):
            await server.wait_ready()
        assert not any(lives(pid) for pid in old)


async def test_events_end_with_the_supervisor(make_spec: MakeSpec, directories: Directories) -> None:
    async with supervised(make_spec(), directories) as supervisor:
        events = supervisor["fake"].events()
        await supervisor["fake"].wait_ready(10)
    assert [event.kind async for event in events][-1] == "state"


async def test_the_host_cwd_and_environment_are_left_alone(
    make_spec: MakeSpec, directories: Directories
) -> None:
    before, handlers, cwd = dict(os.environ), signal.getsignal(signal.SIGINT), Path.cwd()
    async with supervised(make_spec(), directories) as supervisor:
        await supervisor["fake"].wait_ready(10)
    assert (dict(os.environ), signal.getsignal(signal.SIGINT), Path.cwd()) == (before, handlers, cwd)
