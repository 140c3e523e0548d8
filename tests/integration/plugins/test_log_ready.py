"""log-ready: a line means ready, another the opposite, and none of them is missed."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hostler import (
    Directories,
    Event,
    HealthReported,
    InvalidConfiguration,
    Notice,
    OutputMode,
    PluginSpec,
    RestartMode,
    RestartPolicy,
    Server,
    ServerSpec,
    StartupTimeout,
    State,
    Supervisor,
)
from specs import QUICK, MakeSpec, announced

SH = "/bin/sh"
NEVER = RestartPolicy(policy=RestartMode.NEVER, start_retries=0)


def worker(script: str, *, plugins: tuple[PluginSpec, ...] = (), **fields: Any) -> ServerSpec:
    """A server without a port whose output is that of a shell script."""
    given: dict[str, Any] = {"restart": replace(QUICK, start_retries=0), "startup_timeout": 20.0} | fields
    return ServerSpec(name="worker", command=(SH, "-c", script), port=None, plugins=plugins, **given)


def log_ready(pattern: str, **options: object) -> tuple[PluginSpec]:
    return (PluginSpec("log-ready", {"pattern": pattern} | options),)


async def until(server: Server, state: State) -> None:
    with anyio.fail_after(10):
        await server.until(lambda: server.state is state)


async def says(server: Server, health: str) -> None:
    with anyio.fail_after(10):
        await server.until(lambda: server.health == health)


async def test_a_worker_is_ready_with_its_line_and_no_line_is_cut_after_it(directories: Directories) -> None:
    spec = worker("sleep 0.3; echo all set; exec sleep 60", plugins=log_ready("^all set$"))
    events: list[Event] = []

    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(events.append)
        server = supervisor["worker"]
        began = time.monotonic()
        await server.wait_ready(10)
        assert time.monotonic() - began >= 0.3
        assert server._engine.run is not None
        assert server._engine.run.lines is not None
        assert not server._engine.run.lines.active

    said = [(event.healthy, event.reason) for event in events if isinstance(event, HealthReported)]
    assert said == [(False, "no line that matches '^all set$' has come yet"), (True, "")]


async def test_a_line_that_came_before_the_port_was_known_counts(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec(
        "--print", "warmed up", "--announce-delay", "0.3", plugins=(announced(), *log_ready("warmed up"))
    )
    async with Supervisor(spec, directories=directories) as supervisor:
        await supervisor["fake"].wait_ready(10)


async def test_the_first_line_is_found_before_a_flood_that_goes_on(directories: Directories) -> None:
    script = "echo first of all; yes 'a line that says nothing' | head -c 20000000; exec sleep 60"
    async with Supervisor(
        worker(script, plugins=log_ready("first of all")), directories=directories
    ) as supervisor:
        await supervisor["worker"].wait_ready(10)


async def test_each_run_is_read_anew(directories: Directories, tmp_path: Path) -> None:
    script = f"test -e {tmp_path}/again && exec sleep 60; touch {tmp_path}/again; echo all set; exec sleep 60"
    async with Supervisor(
        worker(script, plugins=log_ready("all set"), startup_timeout=1.0, restart=NEVER),
        directories=directories,
    ) as supervisor:
        server = supervisor["worker"]
        await server.wait_ready(10)
        await server.restart()
        with pytest.raises(StartupTimeout, match="log-ready: no line that matches 'all set'"):
            await server.wait_ready(10)


@pytest.mark.parametrize("stream", ["stdout", "stderr", "any"])
async def test_the_stream_can_be_chosen(directories: Directories, stream: str) -> None:
    script = "echo ready on stdout; sleep 0.2; echo ready on stderr >&2; exec sleep 60"
    spec = worker(script, plugins=log_ready("ready on (.*)", stream=stream))
    events: list[Event] = []

    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(events.append)
        await supervisor["worker"].wait_ready(10)

    healthy = next(event for event in events if isinstance(event, HealthReported) and event.healthy)
    assert healthy.report is not None
    expected = "stdout" if stream == "any" else stream
    assert healthy.report.details == {"line": f"ready on {expected}"}


async def test_colours_are_no_part_of_a_line(directories: Directories) -> None:
    script = r"printf '\033[1;32mready\033[0m in \033[38:5:7m300\033[m ms\r\n'; exec sleep 60"
    async with Supervisor(
        worker(script, plugins=log_ready("^ready in 300 ms$")), directories=directories
    ) as supervisor:
        await supervisor["worker"].wait_ready(10)


async def test_a_line_counts_by_its_first_8_kib(directories: Directories) -> None:
    script = "head -c 9000 /dev/zero | tr '\\0' x; echo ready; echo go; exec sleep 60"
    async with Supervisor(
        worker(script, plugins=log_ready("ready|go")), directories=directories
    ) as supervisor:
        server = supervisor["worker"]
        events = server.events()
        with anyio.fail_after(10):
            healthy = await anext(
                event.report async for event in events if isinstance(event, HealthReported) and event.healthy
            )

    assert healthy is not None
    assert healthy.details == {"line": "go"}


# -- failures --------------------------------------------------------------------------------------


async def test_lines_of_failure_count_until_one_means_ready_again(
    directories: Directories, tmp_path: Path
) -> None:
    fifo = tmp_path / "say"
    script = f"mkfifo {fifo}; echo up; while :; do cat {fifo}; done"
    plugins = log_ready("^up$", failure="(?i)lost", failures=2)
    async with Supervisor(worker(script, plugins=plugins), directories=directories) as supervisor:
        server = supervisor["worker"]
        await server.wait_ready(10)
        for line, health in (("Lost one", "unhealthy"), ("up", "healthy"), ("lost one", "unhealthy")):
            await anyio.Path(fifo).write_text(f"{line}\n")

            await says(server, health)
        assert server.state is State.RUNNING
        await anyio.Path(fifo).write_text("lost another\n")
        with anyio.fail_after(10):
            await server.until(lambda: bool(server.crashes))

    assert server.crashes[0].reason.endswith("log-ready: lost another (2 times in a row)")


async def test_a_line_of_failure_can_end_a_start_at_once(directories: Directories) -> None:
    spec = worker(
        "echo the disk is full; exec sleep 60", plugins=log_ready("up", failure="full", on_failure="restart")
    )
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["worker"]
        await until(server, State.FAILED)
        assert "log-ready: the disk is full" in str(server.error)


async def test_a_line_of_failure_can_end_it_for_good(directories: Directories) -> None:
    plugins = log_ready("up", failure="licence", on_failure="give-up")
    spec = worker(
        "echo up; sleep 0.2; echo the licence has expired; exec sleep 60", plugins=plugins, restart=QUICK
    )
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["worker"]
        await until(server, State.FAILED)
        assert server.generation == 1
        assert "the licence has expired" in str(server.error)


async def test_a_line_that_means_both_is_a_failure(directories: Directories) -> None:
    plugins = log_ready("ready", failure="not ready", on_failure="give-up")
    async with Supervisor(
        worker("echo not ready; exec sleep 60", plugins=plugins), directories=directories
    ) as supervisor:
        await until(supervisor["worker"], State.FAILED)


# -- what is not captured, and mistakes ------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "modes", "good"),
    [
        ("any", (OutputMode.IGNORE, OutputMode.CAPTURE), True),
        ("stderr", (OutputMode.IGNORE, OutputMode.CAPTURE), True),
        ("stdout", (OutputMode.IGNORE, OutputMode.CAPTURE), False),
        ("any", (OutputMode.IGNORE, OutputMode.IGNORE), False),
    ],
)
async def test_output_that_is_not_captured_cannot_be_read(
    directories: Directories, stream: str, modes: tuple[OutputMode, OutputMode], good: bool
) -> None:
    script = "echo ready; echo ready >&2; exec sleep 60"
    plugins = log_ready("ready", stream=stream)
    spec = worker(script, plugins=plugins, stdout=modes[0], stderr=modes[1])
    async with Supervisor(spec, directories=directories) as supervisor:
        if good:
            await supervisor["worker"].wait_ready(10)
        else:
            with pytest.raises(InvalidConfiguration, match="log-ready cannot read stdout"):
                await supervisor["worker"].wait_ready(10)


async def test_a_slow_pattern_is_not_silent(directories: Directories) -> None:
    """It cannot be interrupted; that it held up the loop is what can be told."""
    script = f"echo {'a' * 24}b; echo ready; exec sleep 60"
    spec = worker(script, plugins=log_ready("ready", failure="^(a+)+$"))
    events: list[Event] = []

    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(events.append)
        await supervisor["worker"].wait_ready(20)

    said = [event.text for event in events if isinstance(event, Notice) and event.topic == "follower_slow"]
    assert said
    assert "LogReady" in said[0]
