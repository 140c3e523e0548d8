"""A secret that a server has, and everything that hostler says and writes about that server."""

from __future__ import annotations

import base64
import logging
import sys
import traceback
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hostler import (
    Auth,
    Directories,
    Endpoint,
    Event,
    Exit,
    Healthy,
    InvalidConfiguration,
    Launch,
    PluginSpec,
    Report,
    Secret,
    Server,
    ServerError,
    ServerSpec,
    ServerView,
    Spawned,
    State,
    Supervisor,
    Unhealthy,
    hookimpl,
)
from specs import QUICK, MakeSpec, announced

SECRET = "sesame-open-sesame"
LATE = "found-at-run-time-42"
NO_RETRY = replace(QUICK, start_retries=0, max_restarts=0)


class Memory(logging.Handler):
    """Keeps what is logged, as it would be written."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


@dataclass
class Heard:
    """Everything that was said and written about a server."""

    texts: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def take(self, event: Event) -> None:
        self.events.append(event)
        self.texts += [repr(event), str(event.as_dict())]

    def take_error(self, error: BaseException) -> None:
        self.texts += [str(error), repr(error), *traceback.format_exception(error)]

    def take_files(self, folder: Path) -> None:
        self.texts += [path.read_text() for path in folder.rglob("*") if path.is_file()]


async def everything_about(spec: Any, directories: Directories) -> Heard:
    """Live with a server until it has failed or runs; what is heard of it until then, and while it ends."""
    heard, memory = Heard(), Memory()
    logger = logging.getLogger("hostler")
    level = logger.level
    logger.addHandler(memory)
    logger.setLevel(logging.DEBUG)

    try:
        async with Supervisor(spec, directories=directories) as supervisor:
            server = supervisor["fake"]
            supervisor.listen(heard.take)
            supervisor.listen(lambda _: heard.take_files(directories.state))
            with anyio.fail_after(20):
                await server.until(lambda: server.state in {State.RUNNING, State.FAILED})
                await anyio.sleep(0.3)
            if server.error is not None:
                heard.take_error(server.error)

    finally:
        logger.removeHandler(memory)
        logger.setLevel(level)

    heard.texts += memory.texts
    return heard


@dataclass(eq=False)
class Leaks:
    """Has a secret, and lets it out wherever a plugin can."""

    fails_in: str = ""
    exits: list[Exit] = field(init=False, default_factory=list)

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        launch.set_secret("FAKE_TOKEN", SECRET)
        launch.facts["auth"] = Auth("opencode", SECRET)
        server.progress(f"with {SECRET}")
        server.notice("odd", f"it is {SECRET}", deep={"list": [SECRET, (SECRET,)]}, path=Path(SECRET))
        server.start_soon(self._beside)
        launch.defer(self._defer)
        self._fail("pre_spawn")

    async def _beside(self) -> None:
        raise RuntimeError(f"beside: {SECRET}")

    def _defer(self) -> None:
        raise RuntimeError(f"deferred: {SECRET}")

    @hookimpl
    def parse_port(self, line: str) -> Endpoint | None:
        self._fail("parse_port")
        return None

    @hookimpl
    async def health_check(self) -> AsyncGenerator[Report, None]:
        yield Healthy({"token": SECRET})
        self._fail("health_check")
        error = InvalidConfiguration(f"{SECRET} is no good")
        yield Unhealthy(f"says {SECRET}", {"body": f"<{SECRET}>"}, error=error)
        if not self.fails_in:
            yield Unhealthy(f"says {SECRET}", {"body": f"<{SECRET}>"}, error=error, permanent=True)

    @hookimpl
    async def on_ready(self) -> None:
        self._fail("on_ready")

    @hookimpl
    async def on_crash(self, exit: Exit) -> None:
        self.exits.append(exit)
        self._fail("on_crash")

    @hookimpl
    async def on_shutdown(self) -> None:
        self._fail("on_shutdown")

    def _fail(self, hook: str) -> None:
        if hook == self.fails_in:
            raise RuntimeError(f"{hook} leaks {SECRET}")


HOOKS = ["", "pre_spawn", "parse_port", "health_check", "on_ready", "on_crash", "on_shutdown"]


@pytest.mark.parametrize("hook", HOOKS)
async def test_a_secret_that_a_plugin_lets_out_is_masked_everywhere(
    make_spec: MakeSpec, directories: Directories, hook: str
) -> None:
    plugins = (announced(), PluginSpec("leaks", instance=Leaks(hook)))
    switches = ("--print-env", "FAKE_TOKEN", *(("--exit-after", "0.2") if hook == "on_crash" else ()))
    heard = await everything_about(make_spec(*switches, plugins=plugins, restart=NO_RETRY), directories)
    assert [text for text in heard.texts if SECRET in text] == []
    assert any("********" in text for text in heard.texts)


async def test_a_password_in_a_header_is_masked_too(make_spec: MakeSpec, directories: Directories) -> None:
    header = base64.b64encode(f"opencode:{SECRET}".encode()).decode()
    plugins = (announced(), PluginSpec("leaks", instance=Leaks("on_ready")))
    spec = make_spec("--print", f"authorization: Basic {header}", plugins=plugins)
    async with Supervisor(spec, directories=directories) as supervisor:
        lines = supervisor["fake"].lines()
        with anyio.fail_after(10):
            assert (await anext(lines)).text == "authorization: Basic ********"


@dataclass(eq=False)
class Publishes:
    """Hands a secret to those that need its server, under a plain name."""

    @hookimpl
    async def pre_spawn(self, server: ServerView) -> None:
        server.publish("TALKS_WITH", SECRET, secret=True)


async def test_a_published_secret_is_masked_for_those_that_need_its_server_too(
    make_spec: MakeSpec, directories: Directories
) -> None:
    first = make_spec(name="first", plugins=(announced(), PluginSpec("publishes", instance=Publishes())))
    second = make_spec("--print-env", "TALKS_WITH", name="second", needs=("first",))
    async with Supervisor([first, second], directories=directories) as supervisor:
        lines = supervisor["second"].lines()
        with anyio.fail_after(10):
            assert "********" in (await anext(lines)).text


async def test_a_secret_in_a_header_of_sse_health_is_read_and_masked(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIN", SECRET)
    options = {"headers": {"X-Plain": Secret("env:PLAIN")}}
    plugins = (announced(), PluginSpec("sse-health", options))
    spec = make_spec("--print-env", "COPY", env={"COPY": SECRET}, plugins=plugins)
    async with Supervisor(spec, directories=directories) as supervisor:
        lines = supervisor["fake"].lines()
        with anyio.fail_after(10):
            assert "********" in (await anext(lines)).text
            await supervisor["fake"].wait_ready()


@dataclass(eq=False)
class FindsOne:
    """Finds a secret in the output, in the moment when it is printed."""

    @hookimpl
    def parse_port(self, server: ServerView, line: str) -> Endpoint | None:
        if line.startswith("the password is "):
            server.redact(line.removeprefix("the password is "))
        return None


async def test_a_secret_that_is_found_in_a_line_is_masked_in_that_line_and_in_the_last_lines(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugins = (PluginSpec("finds", instance=FindsOne()), announced())
    switches = ("--print", f"the password is {LATE}", "--exit-after", "0.3")
    exits: list[Exit] = []

    async with Supervisor(
        make_spec(*switches, plugins=plugins, restart=NO_RETRY), directories=directories
    ) as supervisor:
        server = supervisor["fake"]
        supervisor.listen(lambda event: exits.append(event.exit) if hasattr(event, "exit") else None)
        lines = server.lines()
        with anyio.fail_after(10):
            assert (await anext(lines)).text == "the password is ********"
            await fails(server)

    assert "the password is ********" in exits[0].stdout
    assert LATE not in repr(exits)


async def fails(server: Server) -> None:
    await server.until(lambda: server.state is State.FAILED)


async def test_a_secret_of_the_environment_that_is_allowed_is_masked(
    make_spec: MakeSpec, directories: Directories
) -> None:
    @dataclass(eq=False)
    class Allows:
        @hookimpl
        async def pre_spawn(self, launch: Launch) -> None:
            launch.allowed.add("MY_API_KEY")

    plugins = (announced(), PluginSpec("allows", instance=Allows()))
    spec = make_spec("--print-env", "MY_API_KEY", plugins=plugins, env={"MY_API_KEY": SECRET})
    heard = await everything_about(spec, directories)
    assert [text for text in heard.texts if SECRET in text] == []


async def test_a_secret_that_is_too_short_to_mask_in_texts_is_masked_in_the_environment_that_is_told(
    make_spec: MakeSpec, directories: Directories
) -> None:
    @dataclass(eq=False)
    class SetsPin:
        @hookimpl
        async def pre_spawn(self, launch: Launch) -> None:
            launch.set_secret("MY_PIN", "4711")

    events: list[Event] = []
    spec = make_spec(plugins=(announced(), PluginSpec("pin", instance=SetsPin())))
    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(events.append)
        await supervisor["fake"].wait_ready(10)
    assert [event.env["MY_PIN"] for event in events if isinstance(event, Spawned)] == ["********"]


async def test_the_cause_of_an_error_does_not_tell_a_secret(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugins = (announced(), PluginSpec("leaks", instance=Leaks("pre_spawn")))
    async with Supervisor(
        make_spec(plugins=plugins, restart=NO_RETRY), directories=directories
    ) as supervisor:
        with pytest.raises(ServerError) as caught:
            await supervisor["fake"].wait_ready(10)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_a_mistake_of_hostler_itself_is_logged_without_secrets(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError(f"a bug with {SECRET}")

    monkeypatch.setattr("hostler.engine.monitor.Monitor.begin", fail)
    plugins = (announced(), PluginSpec("leaks", instance=Leaks("none")))
    with suppress(ServerError):
        heard = await everything_about(make_spec(plugins=plugins), directories)
    assert any("hostler itself failed" in text for text in heard.texts)
    assert [text for text in heard.texts if SECRET in text] == []


async def test_what_a_host_logs_and_raises_of_a_server_orders_no_terminal(
    make_spec: MakeSpec, directories: Directories, caplog: pytest.LogCaptureFixture
) -> None:
    nasty = "\x1b]0;t\x07\x1b[2J\u202e seen"
    code = f"import os; os.write(2, {nasty.encode()!r} + b'\\n'); raise SystemExit(3)"
    spec = replace(make_spec(restart=NO_RETRY, title=nasty), command=(sys.executable, "-c", code))
    caplog.set_level(logging.DEBUG, "hostler")

    async with Supervisor(spec, directories=directories) as supervisor:
        with pytest.raises(ServerError, match="seen") as caught:
            await supervisor["fake"].wait_ready(10)

    told = "".join(traceback.format_exception_only(caught.value)) + "".join(caplog.messages)
    assert [hex(ord(one)) for one in told if not one.isprintable() and one != "\n"] == []


def test_no_repr_tells_an_environment_or_options(tmp_path: Path) -> None:
    env, options = {"MY_TOKEN": SECRET}, {"password": SECRET}
    launch = Launch(
        server="web", generation=1, argv=["x"], cwd=tmp_path, env={}, host="127.0.0.1", port=None,
        data_dir=tmp_path, cache_dir=tmp_path, host_env=env,
    )  # fmt: skip
    launch.set_secret("MY_TOKEN", SECRET)
    spec = ServerSpec(name="web", env=env, plugins=(PluginSpec("p", options=options),))
    assert SECRET not in f"{launch!r} {spec!r} {Auth('me', SECRET)!r}"
