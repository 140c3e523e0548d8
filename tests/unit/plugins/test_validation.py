"""Plugins that answer with the wrong thing: they are named, their server fares as if they had failed."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hostler import (
    Action,
    Advice,
    Directories,
    Endpoint,
    Healthy,
    Launch,
    PluginFailed,
    PluginSpec,
    ServerError,
    ServerView,
    State,
    Supervisor,
    Unhealthy,
    hookimpl,
)
from specs import QUICK, MakeSpec, announced


def odd(plugin: object) -> tuple[PluginSpec, ...]:
    return (PluginSpec("odd", instance=plugin), announced())


def listening(supervisor: Supervisor) -> list[str]:
    reasons: list[str] = []
    supervisor.listen(lambda event: reasons.append(event.reason) if isinstance(event, PluginFailed) else None)
    return reasons


@dataclass(eq=False)
class Edits:
    edit: Callable[[Launch], object]

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        self.edit(launch)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda launch: launch.env.update(A=3), "left int as launch.env['A'], not a string"),
        (lambda launch: launch.env.update(A=None), "left NoneType as launch.env['A'], not a string"),
        (lambda launch: setattr(launch, "env", None), "left NoneType as launch.env, not a table of strings"),
        (lambda launch: launch.argv.append(Path("/x")), "not a string"),
        (lambda launch: setattr(launch, "argv", "sleep 5"), "left str as launch.argv, not a list of strings"),
        (lambda launch: setattr(launch, "wrapper", [b"x"]), "left bytes as launch.wrapper[0], not a string"),
        (lambda launch: setattr(launch, "cwd", "/"), "left str as launch.cwd, not a Path"),
        (lambda launch: launch.set_secret("A", None), "the secret A has to be a string, not NoneType"),
    ],
)
async def test_a_launch_that_nothing_could_be_started_with_is_told_of_the_plugin_that_left_it(
    make_spec: MakeSpec, directories: Directories, edit: Callable[[Launch], object], said: str
) -> None:
    spec = make_spec(plugins=odd(Edits(edit)), restart=replace(QUICK, start_retries=0))
    async with Supervisor(spec, directories=directories) as supervisor:
        reasons = listening(supervisor)
        with pytest.raises(ServerError, match='plugin "odd" failed in pre_spawn: it ') as caught:
            await supervisor["fake"].wait_ready(10)
        assert said in caught.value.message
        assert said in reasons[0]
        assert supervisor["fake"].pid is None


@dataclass(eq=False)
class Reports:
    report: object

    @hookimpl
    async def health_check(self) -> AsyncGenerator[Any, None]:
        yield Healthy()
        await anyio.sleep(0.1)
        yield self.report


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (True, "it yielded bool, not Healthy or Unhealthy"),
        (Healthy("all well"), "it yielded Healthy with str for details, not a mapping"),  # type: ignore[arg-type]
        (Unhealthy(ValueError("x")), "it yielded Unhealthy with ValueError for a reason, not a string"),  # type: ignore[arg-type]
        (Healthy(latency="3"), "it yielded Healthy with str for a latency, not a number"),  # type: ignore[arg-type]
        (Unhealthy("x", limit="3"), "it yielded Unhealthy with str for a limit, not a whole number"),  # type: ignore[arg-type]
        (
            Unhealthy("x", error=ValueError("x")),  # type: ignore[arg-type]
            "it yielded Unhealthy with ValueError for an error, not a ServerError of hostler",
        ),
    ],
)
async def test_a_report_of_the_wrong_kind_is_a_fault_of_the_plugin_and_not_of_the_server(
    make_spec: MakeSpec, directories: Directories, report: object, said: str
) -> None:
    async with Supervisor(make_spec(plugins=odd(Reports(report))), directories=directories) as supervisor:
        reasons, server = listening(supervisor), supervisor["fake"]
        await server.wait_ready(10)
        with anyio.fail_after(10):
            await server.until(lambda: server.health == "unknown")
        assert server.state is State.RUNNING
        assert said in reasons[0]


@dataclass(eq=False)
class Answers:
    endpoint: object

    @hookimpl
    def parse_port(self) -> Any:
        return self.endpoint


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("http://127.0.0.1:1", "returned str, not Endpoint or None"),
        (Endpoint("127.0.0.1", "80"), "returned port '80', which is not a number from 1 to 65535"),  # type: ignore[arg-type]
        (Endpoint(None, 80), "returned the host None, which is not the name or address of one"),  # type: ignore[arg-type]
        (Endpoint("127.0.0.1", 80, 3), "returned the scheme 3, not a string"),  # type: ignore[arg-type]
    ],
)
async def test_an_endpoint_of_the_wrong_kind_is_passed_over_and_the_next_plugin_asked(
    make_spec: MakeSpec, directories: Directories, endpoint: object, said: str
) -> None:
    async with Supervisor(make_spec(plugins=odd(Answers(endpoint))), directories=directories) as supervisor:
        reasons = listening(supervisor)
        await supervisor["fake"].wait_ready(10)
        assert reasons[0] == said


@dataclass(eq=False)
class Advises:
    advice: object

    @hookimpl
    async def on_crash(self) -> Any:
        return self.advice


@pytest.mark.parametrize(
    ("advice", "said"),
    [
        (Action.GIVE_UP, "returned Action, not Advice or None"),
        (Advice("give up"), "returned Advice with 'give up', not one of Action.RESTART_NOW, "),  # type: ignore[arg-type]
        (
            Advice(Action.GIVE_UP, RuntimeError("no use")),  # type: ignore[arg-type]
            "returned Advice with RuntimeError for an error, not a ServerError of hostler",
        ),
    ],
)
async def test_advice_of_the_wrong_kind_is_no_advice(
    make_spec: MakeSpec, directories: Directories, advice: object, said: str
) -> None:
    async with Supervisor(make_spec(plugins=odd(Advises(advice))), directories=directories) as supervisor:
        reasons, server = listening(supervisor), supervisor["fake"]
        await server.wait_ready(10)
        os.kill(server.pid or 0, signal.SIGKILL)
        with anyio.fail_after(10):
            await server.until(lambda: server.generation == 2 and server.state is State.RUNNING)
        assert reasons[0].startswith(said)


@dataclass(eq=False)
class Publishes:
    @hookimpl
    async def on_ready(self, server: ServerView) -> None:
        server.publish("PORT", 80)  # type: ignore[arg-type]


async def test_what_is_published_has_to_be_a_string(make_spec: MakeSpec, directories: Directories) -> None:
    async with Supervisor(make_spec(plugins=odd(Publishes())), directories=directories) as supervisor:
        reasons, server, told = listening(supervisor), supervisor["fake"], anyio.Event()
        supervisor.listen(lambda event: told.set() if isinstance(event, PluginFailed) else None)
        await server.wait_ready(10)
        with anyio.fail_after(10):
            await told.wait()
        assert reasons == ["raised TypeError('the variable PORT has to be a string, not int')"]
        assert "PORT" not in server.child_env({})
