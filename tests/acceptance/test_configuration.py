"""Configuration: defaults, checks before anything starts, the environment, TOML and Python alike."""

from __future__ import annotations

import signal
import tomllib
from dataclasses import fields, replace

import pytest
from cli_project import QUICK, Project
from hostler import (
    Configuration,
    InvalidConfiguration,
    RestartPolicy,
    ServerSpec,
    Supervisor,
    from_dict,
    load,
)
from hostler.model.schema.server_keys import RESTART_KEYS, SERVER_KEYS
from hostler.plugins.describe import describe

MISTAKES = """\
[servers.web]
comand = ["true"]
command = "python -m http.server"
port = 70000
host = "0.0.0.0"
startup_timeout = 30
restart = { polcy = "always" }
needs = ["databse"]

[servers.web.plugins]
regex-prot = true
sse-health = { reconect = "1s" }
log-rotation = { max_size = "10" }

[servers.database]
command = ["true"]
"""


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
    assert {one.name: one.default for one in describe(plugin).options}[option] == default


@pytest.mark.requirement("R8", "R30")
async def test_a_log_file_has_the_name_of_its_server(world: Project) -> None:
    file = world.fake("--print", "hello", name="web", plugins={"regex-port": {}, "log-rotation": {}})
    async with world.supervisor(file) as supervisor:
        await supervisor["web"].wait_ready(20)
    assert "hello" in world.logged("web.log")


@pytest.mark.requirement("R9")
def test_all_mistakes_are_told_at_once_with_their_lines_and_what_was_meant(world: Project) -> None:
    command = world.hostler("check", world.write(MISTAKES))
    assert command.end() == 2
    told = "\n".join(command.err)

    for line, words in {
        2: ("comand", '"command"'),
        3: ("command", "list"),
        4: ("port", "70000"),
        5: ("host", "expose"),
        6: ("startup_timeout", "30s"),
        7: ("polcy", '"policy"'),
        8: ("databse", '"database"'),
        11: ("regex-prot", '"regex-port"'),
        12: ("reconect", '"reconnect"'),
        13: ("max_size", "unit"),
    }.items():
        (place,) = (one for one in command.err if f"hostler.toml:{line}:" in one)
        assert all(word in place for word in words), told


@pytest.mark.requirement("R9", "R18")
def test_nothing_is_started_by_a_wrong_configuration(world: Project) -> None:
    good = world.fake_table("--touch", str(world.home / "touched"))
    file = world.configure(good=good, bad=good | {"prot": 1})
    command = world.hostler("run", file)
    assert command.end() == 2
    assert not (world.home / "touched").exists()
    assert not world.directories.state.exists()


@pytest.mark.requirement("R10")
def test_the_environment_keeps_the_usual_takes_the_configured_and_leaves_secrets_out(world: Project) -> None:
    names = ("PATH", "HOME", "OWN", "MY_API_KEY", "GITHUB_TOKEN", "NODE_OPTIONS", "STRAY")
    plugins = {"regex-port": {}, "env-sanitizer": {"allow": ["MY_API_KEY"]}}
    file = world.fake("--print-env", *names, plugins=plugins, env={"OWN": "of ${server.name}"})
    secrets = {"MY_API_KEY": "allowed-0123456789", "GITHUB_TOKEN": "ghp_0123456789"}
    command = world.hostler("run", file, "--debug", NODE_OPTIONS="--inspect", STRAY="x", **secrets)
    command.line("started on port")
    assert command.stop(signal.SIGTERM) == 0
    told = [line.partition("fake stdout: ")[2] for line in command.out if "fake stdout: " in line]

    assert told[: len(names)] == [
        f"PATH={world.environ['PATH']}",
        f"HOME={world.home}",
        "OWN=of fake",
        "MY_API_KEY=********",
        "GITHUB_TOKEN is unset",
        "NODE_OPTIONS is unset",
        "STRAY is unset",
    ]


@pytest.mark.requirement("R11")
def test_every_setting_has_a_key_in_toml_and_a_field_in_python() -> None:
    read_elsewhere = {"name", "secrets", "unset"}
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


@pytest.mark.requirement("R47")
def test_files_are_composed_and_what_is_in_force_can_be_written_back(world: Project) -> None:
    world.write(
        '[servers.web]\ncommand = ["serve"]\nenv = { A = "1", B = "${HOME}" }\nneeds = []\n'
        "[servers.web.plugins]\nregex-port = true\nlog-rotation = { keep = 2 }\nsse-health = true\n",
        "base.toml",
    )
    file = world.write(
        'extends = ["base.toml"]\n[servers.web]\nenv = { A = "2" }\nstartup_timeout = "5s"\n'
        "[servers.web.plugins]\nsse-health = false\nlog-rotation = { keep = 3 }\nenv-sanitizer = true\n"
    )
    shown = world.hostler("show", file)
    assert shown.end() == 0
    again = world.write("\n".join(shown.out) + "\n", "again.toml")
    assert "${HOME}" in again.read_text()
    spec = world.load(again).servers["web"]
    assert (dict(spec.env), spec.startup_timeout) == ({"A": "2", "B": str(world.home)}, 5)
    assert [plugin.name for plugin in spec.plugins] == ["regex-port", "log-rotation", "env-sanitizer"]
    assert {plugin.name: dict(plugin.options) for plugin in spec.plugins}["log-rotation"] == {"keep": 3}
    assert same(world.load(again), world.load(file))


def same(one: Configuration, other: Configuration) -> bool:
    return one.servers == other.servers


@pytest.mark.requirement("R9")
def test_a_mistake_in_an_extended_file_names_that_file(world: Project) -> None:
    world.write('[servers.web]\ncommand = ["serve"]\nport = "8080"\n', "base.toml")
    file = world.write('extends = ["base.toml"]\n')
    with pytest.raises(InvalidConfiguration, match=r"base\.toml:3:.*port"):
        load(file)


@pytest.mark.requirement("R9")
def test_a_fixed_port_of_two_servers_is_a_mistake(world: Project) -> None:
    table = {"command": ["serve"], "port": 4096, "restart": QUICK}
    with pytest.raises(InvalidConfiguration, match="4096"):
        world.load(world.configure(one=table, two=table))
