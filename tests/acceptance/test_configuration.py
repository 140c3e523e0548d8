"""Configuration: defaults, checks before anything starts, the environment, TOML and Python alike."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace

import pytest
from cli_project import Project
from hostler import (
    PluginSpec,
    RestartPolicy,
    ServerSpec,
    Supervisor,
    from_dict,
)
from hostler.model.schema.server_keys import RESTART_KEYS, SERVER_KEYS
from hostler.plugins.describe import describe


@pytest.mark.requirement("R8")
def test_a_server_has_the_defaults_that_were_asked_for(world: Project) -> None:
    file = world.write('[servers.web]\ncommand = ["serve"]\nplugins.opencode = true\n')
    spec = world.load(file).servers["web"]
    assert (spec.port, spec.host, dict(spec.env)) == (0, "127.0.0.1", {})
    assert (spec.startup_timeout, spec.force_kill_timeout, spec.max_connection_failures) == (30, 5, 3)


@pytest.mark.requirement("R8")
@pytest.mark.parametrize(
    ("plugin", "option", "default"),
    [
        ("opencode", "binary", "none"),
        ("sse-health", "reconnect", '"1s"'),
        ("log-rotation", "path", "none"),
        ("log-rotation", "max_size", '"10 MiB"'),
        ("log-rotation", "keep", "5"),
    ],
)
def test_an_option_has_the_default_that_was_asked_for(plugin: str, option: str, default: str) -> None:
    assert {one.name: one.default for one in describe(PluginSpec(plugin)).options}[option] == default


@pytest.mark.requirement("R11")
def test_every_setting_has_a_key_in_toml_and_a_field_in_python() -> None:
    read_elsewhere = {"name", "secrets", "unset", "environ", "template"}
    assert {field.name for field in fields(ServerSpec)} - read_elsewhere == set(SERVER_KEYS)
    assert {field.name for field in fields(RestartPolicy)} == set(RESTART_KEYS)


@pytest.mark.requirement("R11", "R48")
async def test_a_spec_made_in_python_runs_like_one_from_toml(world: Project) -> None:
    text = world.fake().read_text()
    from_toml = world.load(world.project / "hostler.toml").servers["fake"]
    from_python = from_dict(tomllib.loads(text), base=world.project, environ=world.environ).servers["fake"]
    assert from_python == from_toml
    changed = replace(from_python, name="changed", restart=RestartPolicy(max_restarts=1))
    async with Supervisor(changed, directories=world.directories, environ=world.environ) as supervisor:
        await supervisor["changed"].wait_ready(20)
