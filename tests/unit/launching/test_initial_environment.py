"""What a configuration says itself: `env` reaches the server, and its credentials are masked everywhere."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest
from child_environment import environment_of
from hostler import (
    Configuration,
    Directories,
    EnvironmentSetupFailed,
    Event,
    Launch,
    Notice,
    PluginSpec,
    ServerSpec,
    Spawned,
    Supervisor,
    from_dict,
    hookimpl,
)
from hostler.config.preflight.inspector import Inspector
from hostler.config.preflight.observation import Observation
from hostler.launching.spec_secrets import secrets_of_spec
from specs import QUICK

SECRET = "sesame-open-sesame"
WAITS = [sys.executable, "-c", "import time; time.sleep(60)"]
SANITIZER = {"env-sanitizer": True}


def spec_of(table: dict[str, object], tmp_path: Path, **environ: str) -> ServerSpec:
    """A server without a port that waits to be stopped, as a file would configure it."""
    server = {"command": WAITS, "port": False, "restart": {"policy": "never", "start_retries": 0}} | table
    return from_dict({"servers": {"fake": server}}, base=tmp_path, environ=environ).servers["fake"]


async def start(
    spec: ServerSpec, directories: Directories, **environ: str
) -> tuple[dict[str, str], list[Event]]:
    """Start it once: the variables of its process, and all events."""
    heard: list[Event] = []
    host = {"PATH": os.environ["PATH"]} | environ
    async with Supervisor(spec, directories=directories, environ=host) as supervisor:
        supervisor.listen(heard.append)
        await supervisor["fake"].wait_ready(20)
        return await environment_of(supervisor["fake"]), heard


def observations(table: dict[str, object], tmp_path: Path, **environ: str) -> list[Observation]:
    """What `hostler check` says of a server that is right but for these keys."""
    server = {"command": ["true"], "port": False} | table
    host = {"PATH": os.environ["PATH"]} | environ
    configuration = from_dict({"servers": {"web": server}}, base=tmp_path, environ=host)
    directories = Directories(tmp_path / "state", tmp_path / "data", tmp_path / "cache")
    return list(Inspector(configuration, directories, host).observations())


# -- variables -------------------------------------------------------------------------------------

OWN = {
    "SESSION_SECRET": "12345678",
    "SHORT_SECRET": "1234567",
    "DATABASE_URL": f"postgres://app:{SECRET}@db/app",
    "REDIS_URL": "redis://127.0.0.1:6379",
    "PGPASSWORD": "postgres",
    "SENTRY_DSN": "https://0123456789abcdef0123@o1.example/7",
    "PLAIN": "prefix ${HOST_TOKEN}",
    "NODE_OPTIONS": "--trace-warnings",
}


@pytest.mark.parametrize("plugins", [{}, SANITIZER], ids=["alone", "env-sanitizer"])
async def test_a_variable_of_its_own_env_reaches_the_server_whatever_its_name(
    tmp_path: Path, directories: Directories, plugins: dict[str, object]
) -> None:
    (tmp_path / SECRET).mkdir()
    table = {"env": OWN, "plugins": plugins, "cwd": "${HOST_TOKEN}"}
    spec = spec_of(table, tmp_path, HOST_TOKEN=SECRET)
    given, heard = await start(spec, directories, HOST_TOKEN=SECRET)
    wanted = OWN | {"PLAIN": f"prefix {SECRET}"}
    (spawned,) = [event for event in heard if isinstance(event, Spawned)]

    assert {name: given.get(name) for name in wanted} == wanted
    assert SECRET not in repr(heard)
    assert spawned.env["SESSION_SECRET"] == spawned.env["SHORT_SECRET"] == "********"
    assert spawned.env["REDIS_URL"] == "redis://127.0.0.1:6379", "an address is no secret"
    assert spawned.env["PLAIN"] == "prefix ********"


async def test_a_variable_of_a_spec_made_in_python_reaches_the_server(directories: Directories) -> None:
    spec = ServerSpec(name="fake", command=tuple(WAITS), port=None, env={"API_TOKEN": SECRET}, restart=QUICK)
    given, heard = await start(spec, directories)
    assert given["API_TOKEN"] == SECRET
    assert SECRET not in repr(heard)


async def test_a_secret_that_a_plugin_copied_is_refused_beside_them(
    directories: Directories,
) -> None:
    class Copies:
        @hookimpl
        async def pre_spawn(self, launch: Launch) -> None:
            launch.env["COPY"] = launch.host_env["HOST_TOKEN"]

    plugins = (PluginSpec("copies", instance=Copies()),)
    spec = ServerSpec(
        name="fake", command=tuple(WAITS), port=None, env={"API_TOKEN": "x"}, plugins=plugins, restart=QUICK
    )

    with pytest.raises(EnvironmentSetupFailed, match="not allowed: COPY"):
        await start(spec, directories, HOST_TOKEN=SECRET)


async def test_a_word_that_everybody_knows_as_a_password_can_be_read_in_the_output(
    tmp_path: Path, directories: Directories, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hostler")
    env = {"POSTGRES_PASSWORD": "postgres", "POSTGRES_USER": "postgres"}
    spec = spec_of({"env": env, "command": [*WAITS, "-D", "postgres"]}, tmp_path)
    _, heard = await start(spec, directories)
    assert "postgres" in next(event.argv for event in heard if isinstance(event, Spawned))


# -- command lines ---------------------------------------------------------------------------------


async def test_a_secret_on_the_command_line_is_masked_and_warned_of(
    tmp_path: Path, directories: Directories
) -> None:
    words = [*WAITS, f"--token={SECRET}", "--api-key", SECRET + "2", "--pin-token", "12"]
    _, heard = await start(spec_of({"command": words}, tmp_path), directories)
    (spawned,) = [event for event in heard if isinstance(event, Spawned)]
    notices = [event for event in heard if isinstance(event, Notice)]
    warnings = [event.text for event in notices if event.topic == "secret_exposed"]
    written = [path.read_text() for path in directories.state.rglob("*") if path.is_file()]

    assert spawned.argv[3:] == ("--token=********", "--api-key", "********", "--pin-token", "********")
    assert [text.partition(")")[0] for text in warnings] == [
        "the command line shows a secret (after token",
        "the command line shows a secret (after api-key",
    ]
    assert SECRET not in repr(heard)
    assert [text for text in written if SECRET in text] == []


# -- what is masked --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "table",
    [
        {"plugins": {"sse-health": {"headers": {"Authorization": "Bearer ${APP_API_KEY}"}}}},
        {"plugins": {"http-health": {"headers": {"x-api_key": SECRET}}}},
        {"plugins": {"http-health": {"headers": {"Cookie": f"a=1; session={SECRET}"}}}},
        {"plugins": {"exec-health": {"command": ["curl", "-H", f"Proxy-Authorization: Basic {SECRET}"]}}},
        {"plugins": {"exec-health": {"command": ["curl", f"http://me:{SECRET}@localhost"]}}},
        {"plugins": {"exec-health": {"command": ["x"], "env": {"A_TOKEN": SECRET}}}},
        {"plugins": {"exec-health": {"command": ["x", "${APP_API_KEY:-nothing}"]}}},
        {"plugins": {"exec-health": {"command": ["x", f"${{NO_API_KEY:-{SECRET}}}"]}}},
        {"command": ["serve", "${APP_API_KEY}"]},
        {"env": {"PLAIN": "${APP_API_KEY}"}},
        {"env": {"PLACE": f"http://me:{SECRET}@${{server.host}}/"}},
        {"title": "the ${APP_API_KEY}"},
    ],
    ids=str,
)
def test_what_a_configuration_tells_as_a_secret_is_known_before_the_start(
    tmp_path: Path, table: dict[str, object]
) -> None:
    spec = spec_of({"port": 0} | table, tmp_path, APP_API_KEY=SECRET)
    found = [*secrets_of_spec(spec)]
    assert any(SECRET in value for value in found)
    assert not any("${" in value for value in found)


# -- check -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "table",
    [
        {"cwd": "/proc/nowhere/${APP_API_KEY}"},
        {"command": ["/proc/nowhere/${APP_API_KEY}"]},
        {"user": "${APP_API_KEY}"},
        {"env_file": "/proc/nowhere/${APP_API_KEY}.env"},
        {"env": {"A": {"secret": "file:/proc/nowhere/${APP_API_KEY}"}}},
        {"plugins": {"exec-health": {"command": ["${APP_API_KEY}"]}}},
        {"plugins": {"watch-files": {"paths": ["/proc/nowhere/${APP_API_KEY}"]}}},
    ],
    ids=["cwd", "command", "user", "env_file", "secret", "exec-health", "watch-files"],
)
def test_neither_check_nor_a_repr_tells_the_value_of_a_secret_variable(
    tmp_path: Path, table: dict[str, object]
) -> None:
    spec = spec_of(table, tmp_path, APP_API_KEY=SECRET)
    directories = Directories(*(tmp_path / name for name in ("state", "data", "cache")))
    seen = [*Inspector(Configuration({"web": spec}), directories, os.environ).observations()]
    assert SECRET not in f"{spec!r} {seen!r}"
    assert "********" in seen[0].message


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"env": {"SESSION_SECRET": "12345678"}}, "env.SESSION_SECRET"),
        ({"env": {"PLACE": f"postgres://app:{SECRET}@db/app"}}, "env.PLACE"),
        ({"command": ["true", f"--token={SECRET}"]}, "command"),
        (
            {"plugins": {"exec-health": {"command": ["true", "--token", SECRET]}}},
            "plugins.exec-health.command",
        ),
        (
            {"port": 0, "plugins": {"sse-health": {"headers": {"X-Api-Key": SECRET}}}},
            "plugins.sse-health.headers.X-Api-Key",
        ),
    ],
)
def test_check_warns_of_a_credential_in_clear(tmp_path: Path, table: dict[str, object], key: str) -> None:
    (seen,) = observations(table, tmp_path)
    assert (seen.key, seen.severity) == (f"servers.web.{key}", "warning")
    assert SECRET not in seen.message
    assert key == "command" or '{ secret = "env:NAME" }' in seen.message


@pytest.mark.parametrize(
    "table",
    [
        {"env": {"SESSION_SECRET": "1234567"}},
        {"env": {"REDIS_URL": "redis://127.0.0.1:6379"}},
        {"env": {"PGPASSWORD": "postgres"}},
        {"env": {"API_TOKEN": "${HOST_TOKEN}"}},
        {"env": {"API_TOKEN": {"secret": "env:HOST_TOKEN"}}},
        {"env": {"PASSWORD_FILE": "/run/secrets/password"}},
        {"command": ["true", "--token-from", "GITHUB_TOKEN"]},
    ],
    ids=str,
)
def test_check_has_nothing_to_say_of_what_is_no_credential_or_stands_elsewhere(
    tmp_path: Path, table: dict[str, object]
) -> None:
    assert observations(table, tmp_path, HOST_TOKEN=SECRET) == []


@pytest.mark.parametrize(
    ("table", "environ"),
    [
        ({"command": ["true", "${HOST_TOKEN}"]}, {"HOST_TOKEN": SECRET}),
        ({"command": ["true", SECRET], "env": {"A_TOKEN": {"secret": "env:GIVEN"}}}, {"GIVEN": SECRET}),
    ],
)
def test_check_finds_a_command_line_that_would_be_refused(
    tmp_path: Path, table: dict[str, object], environ: dict[str, str]
) -> None:
    (seen,) = [one for one in observations(table, tmp_path, **environ) if one.severity == "mistake"]
    assert seen.key == "servers.web.command"
    assert "every local user can read it" in seen.message
