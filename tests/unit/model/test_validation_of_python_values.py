"""Values that a program gives are read and checked as in TOML, where they are given."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hostler import (
    Directories,
    EnvFile,
    InvalidConfiguration,
    Need,
    PluginSpec,
    RestartPolicy,
    Secret,
    ServerError,
    ServerSpec,
    State,
    Supervisor,
    from_dict,
    load,
    serve,
)
from specs import MakeSpec

COMMAND = ("sleep", "60")

# For a type checker these values are wrong already.
WORDS: Any = "wrong"
LIST: Any = ["x"]
NOTHING: Any = None


def made(**given: Any) -> ServerSpec:
    return ServerSpec(**({"name": "web", "command": COMMAND} | given))


def written(**keys: Any) -> ServerSpec:
    return from_dict({"servers": {"web": {"command": list(COMMAND)} | keys}}, base=Path.cwd()).servers["web"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("startup_timeout", "1.5m"),
        ("force_kill_timeout", "0s"),
        ("command", ["printf", "x"]),
        ("cwd", "below"),
        ("port", False),
        ("kind", "task"),
        ("stdout", "ignore"),
        ("identity", "require"),
        ("health", "any"),
        ("stop", "tree"),
        ("success_exit_codes", [0, "SIGTERM"]),
        ("restart", {"policy": "always", "max_delay": "1m"}),
        ("env", {"A": "x", "B": {"secret": "env:HOME"}}),
        ("env_file", ".env"),
        ("env_file", [{"path": ".env", "optional": True}, ".more"]),
        ("plugins", {"tcp-health": True, "regex-port": {"pattern": "(?P<port>x)"}, "sse-health": False}),
    ],
)
def test_what_toml_means_is_meant_in_python_too(key: str, value: object) -> None:
    assert getattr(made(**{key: value}), key) == getattr(written(**{key: value}), key)


def test_needs_may_be_a_table_names_or_values() -> None:
    of_table = made(needs={"db": "completed", "cache": {"on_restart": "stop"}})
    words: Any = [Need("db", condition="completed"), Need("cache", on_restart="stop")]  # type: ignore[arg-type]
    assert of_table.needs == made(needs=words).needs
    assert made(needs=["db"]).needs == ("db",)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("port", "8080"),
        ("port", 70000),
        ("port", True),
        ("command", ["sleep", 60]),
        ("command", [""]),
        ("startup_timeout", "5"),
        ("startup_timeout", True),
        ("restart", {"policy": "alway"}),
        ("restart", {"polcy": "always"}),
        ("restart", "always"),
        ("kind", "tsk"),
        ("stop_signal", "SIGKILL"),
        ("host", ""),
        ("scheme", "HTTP"),
        ("guard", "yes"),
        ("user", 1000),
        ("max_connection_failures", 0),
        ("needs", "db"),
        ("needs", {"db": "redy"}),
        ("env", {"A": 1}),
        ("env", {"A=B": "x"}),
        ("env", ["A=x"]),
        ("env_file", {"optional": True}),
    ],
)
def test_what_is_wrong_in_toml_is_wrong_in_python_in_the_same_words(key: str, value: object) -> None:
    with pytest.raises(InvalidConfiguration) as of_python:
        made(**{key: value})
    with pytest.raises(InvalidConfiguration) as of_toml:
        written(**{key: value})
    assert str(of_python.value) == str(of_toml.value)


OF_SEVERAL: dict[str, list[dict[str, Any]]] = {
    "no command": [{"command": []}],
    "host": [{"host": "0.0.0.0"}],
    "delays": [{"restart": {"initial_delay": "9s", "max_delay": "1s"}}],
    "one port": [{"port": 4096}, {"port": 4096}],
    "one input": [{"stdin": "inherit"}, {"stdin": "inherit"}],
    "a plugin": [{"plugins": {"regex-prot": {}}}],
    "an option": [{"plugins": {"regex-port": {"patern": "x"}}}],
}


@pytest.mark.parametrize("what", OF_SEVERAL)
def test_what_does_not_fit_together_is_told_when_the_supervisor_is_made(what: str) -> None:
    tables: dict[str, dict[str, Any]] = {
        f"s{number}": {"command": ["true"], **table} for number, table in enumerate(OF_SEVERAL[what])
    }

    with pytest.raises(InvalidConfiguration) as of_toml:
        from_dict({"servers": tables}, base=Path.cwd())

    for name, table in tables.items():
        plugins = table.pop("plugins", {})
        table["name"] = name
        table["plugins"] = [PluginSpec(plugin, options) for plugin, options in plugins.items()]

    specs = [ServerSpec(**table) for table in tables.values()]

    with pytest.raises(InvalidConfiguration) as of_python:
        Supervisor(specs)

    told, wanted = (error.value.problems[0] for error in (of_python, of_toml))
    assert told.message == wanted.message
    assert wanted.key.startswith(told.key)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: made(startup_timeout=-1),
            "servers.web.startup_timeout: expected a duration longer than 0s, found -1",
        ),
        (lambda: made(startup_timeout=math.nan), "longer than 0s, found nan"),
        (lambda: made(startup_timeout=math.inf), "longer than 0s, found inf"),
        (lambda: made(task_timeout=-0.5), "expected a duration of 0s or more, found -0.5"),
        (lambda: made(startup_timeout=10**400), "a number of more than 64 bits"),
        (lambda: made(startup_timeout=None), "servers.web.startup_timeout: expected a duration with a unit"),
        (lambda: made(env={1: "x"}), "servers.web.env: a key that is not a string"),
        (lambda: made(name="../web"), "a server's name is 1 to 64 letters, digits, - and _"),
        (
            lambda: made(plugins=["tcp-health"]),
            'servers.web.plugins[0]: expected a PluginSpec, such as PluginSpec("re',
        ),
        (lambda: replace(made(), startup_timeout=WORDS), "servers.web.startup_timeout: expected a duration"),
        (
            lambda: RestartPolicy(policy=WORDS),
            'restart.policy: expected one of "on-failure", "always", "never"',
        ),
        (
            lambda: RestartPolicy(max_restarts=-1),
            "restart.max_restarts: expected a whole number, 0 or more, found -1",
        ),
        (lambda: PluginSpec(""), "plugin.name: expected a string that is not empty"),
        (lambda: PluginSpec("tcp-health", LIST), "plugin.options: expected a table, found a list"),
        (lambda: EnvFile(WORDS[:0]), "env_file.path: expected a string that is not empty"),
        (
            lambda: Supervisor(NOTHING),
            "expected a Configuration, a ServerSpec, several of them, the path of a file",
        ),
        (lambda: Supervisor([made(), made()]), "two servers have one name: web"),
        (lambda: Supervisor(LIST), "expected a ServerSpec, found a str"),
        (lambda: Supervisor({"web": {}}), "web: unknown key"),
        (lambda: Supervisor("not-there.toml"), "not-there.toml: there is no such file"),
    ],
)
def test_what_only_python_can_get_wrong_is_told_as_a_mistake_of_a_configuration(
    make: Callable[[], object], words: str
) -> None:
    with pytest.raises(InvalidConfiguration) as told:
        make()
    assert words in str(told.value)


def test_all_mistakes_of_a_spec_are_told_at_once() -> None:
    with pytest.raises(InvalidConfiguration) as told:
        made(port="8080", startup_timeout=0, restart={"policy": "x", "max_delay": "y"})
    assert [problem.key.removeprefix("servers.web.") for problem in told.value.problems] == [
        "port",
        "startup_timeout",
        "restart.policy",
        "restart.max_delay",
    ]


def test_numbers_are_seconds_and_ready_made_values_are_kept() -> None:
    secret, policy = Secret("file:x"), RestartPolicy(max_delay=3)
    spec = made(startup_timeout=7, restart=policy, env={"A": secret}, plugins={"mine": (plugin := object())})
    assert (spec.startup_timeout, spec.restart, spec.env) == (7.0, policy, {"A": secret})
    assert spec.plugins == (PluginSpec("mine", instance=plugin),)
    assert made(restart={"max_delay": 3}).restart == policy
    assert made(stop_signal=signal.SIGINT).stop_signal is made(stop_signal="SIGINT").stop_signal
    assert made(success_exit_codes=[signal.SIGTERM, 3]).success_exit_codes == ("SIGTERM", 3)


async def test_a_supervisor_takes_the_path_of_a_file_a_mapping_and_specs_by_name(
    tmp_path: Path, directories: Directories
) -> None:
    (tmp_path / "hostler.toml").write_text('[servers.web]\ncommand = ["sleep", "60"]\nport = false\n')
    mapping = {"servers": {"web": {"command": ["sleep", "60"], "port": False}}}
    for given in (
        tmp_path / "hostler.toml",
        str(tmp_path / "hostler.toml"),
        mapping,
        {"web": made(port=False)},
    ):
        async with Supervisor(given, directories=directories) as supervisor:
            await supervisor["web"].wait_ready(20)


def test_serve_and_load_take_a_mapping(directories: Directories) -> None:
    mapping = {"servers": {"web": {"command": ["sleep", "60"], "port": False}}}

    assert load(mapping).servers["web"].port is None
    with serve(mapping, directories=directories) as servers:
        servers["web"].wait_ready(20)


async def test_a_server_whose_start_broke_is_failed_with_that_error(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> None:
        raise TypeError("no budget today")

    monkeypatch.setattr("hostler.engine.lifecycle.Budget", broken)

    async with Supervisor(make_spec(), directories=directories) as supervisor:
        with pytest.raises(ServerError, match="no budget today"):
            await supervisor["fake"].wait_ready(20)
        assert supervisor["fake"].state is State.FAILED
        monkeypatch.undo()
        await supervisor["fake"].start()
        await supervisor["fake"].wait_ready(20)
