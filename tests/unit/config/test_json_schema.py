"""What an editor is told agrees with what hostler itself accepts."""

import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hostler import InvalidConfiguration, PluginSpec, Secret, from_dict, hookimpl
from hostler.config.json_schema import json_schema
from hostler.model.schema.server_keys import RESTART_KEYS, SERVER_KEYS
from hostler.model.spec import ListenerSpec, RestartPolicy, ServerSpec
from hostler.plugins.discovery import installed
from hostler.plugins.json_schema import options_schema
from hostler.plugins.options import option_fields, plugin_class
from jsonschema import Draft7Validator, validators
from jsonschema.protocols import Validator

CONFIGS = Path(__file__).parents[3] / "configs"

# Each is one mistake that hostler finds without looking at anything but the value.
WRONG = [
    'comand = ["x"]',
    'command = ""',
    "command = [1]",
    'cwd = ""',
    "title = 1",
    "port = 65536",
    "port = -1",
    "port = true",
    "port = 80.5",
    'port = "80"',
    'port_from_socket = "yes"',
    'scheme = "HTTP"',
    'stdout = "captured"',
    "startup_timeout = 30",
    'startup_timeout = "30"',
    'startup_timeout = "30 parsecs"',
    "max_connection_failures = 0",
    'max_connection_failures = "many"',
    'restart = "always"',
    'restart = { polcy = "always" }',
    'restart = { policy = "sometimes" }',
    "restart = { max_restarts = -1 }",
    "env = { A = 1 }",
    'env = { "A B" = "1" }',
    'env = ["A=1"]',
    'env = { A = { secret = "vault:A" } }',
    'env = { A = { secret = "env:A", b = 1 } }',
    "env = { A = {} }",
    "env_file = 1",
    "env_file = [{ optional = true }]",
    'env_file = { path = "a", optinal = true }',
    "plugins = []",
    "plugins = { regex-prt = true }",
    "plugins = { regex-port = 1 }",
    "plugins = { regex-port = { patern = 'x' } }",
    "plugins = { regex-port = { pattern = 1 } }",
    'plugins = { regex-port = { stream = "both" } }',
    "plugins = { sse-health = { reconnect = 1 } }",
    'plugins = { sse-health = { reconnect = "soon" } }',
    'plugins = { log-rotation = { max_size = "10" } }',
    'plugins = { log-rotation = { keep = "3" } }',
    "plugins = { mine = { path = 'x' } }",
]

RIGHT = [
    "port = false",
    "port = 0",
    'port = "${PORT:-8080}"',
    'startup_timeout = "${T:-30s}"',
    'stdout = "${MODE:-ignore}"',
    'startup_timeout = "1.5 min"',
    'env = { A = "${HOME}" }',
    'env = { A = { secret = "env:A" }, B = { secret = "file:${HOME}/b" } }',
    'env_file = ".env"',
    'env_file = [".env", { path = ".env.local", optional = true }]',
    "plugins = { regex-port = false, sse-health = true }",
    'plugins = { regex-port = { pattern = ["a (?P<port>1)", "b (?P<port>2)"] } }',
    'plugins = { log-rotation = { path = "x.log", max_size = "1 MiB" } }',
    "plugins = { mine = false }",
]


@dataclass(eq=False)
class Locked:
    """Has secrets among its options."""

    key: Secret | None = None
    either: str | Secret = ""

    @hookimpl
    async def on_ready(self) -> None:
        """Be a plugin."""


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    schema = json_schema(
        {name: options_schema(plugin_class(PluginSpec(name))) for name in installed()},
        {name: options_schema(plugin_class(ListenerSpec(name))) for name in installed(ListenerSpec)},
    )
    assert validators.validator_for(schema, Validator) is Draft7Validator  # as an editor finds it
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def table_of(line: str) -> dict[str, object]:
    server = tomllib.loads(line)
    return {"servers": {"web": {"command": ["true"]} | server}}


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.toml")), ids=lambda file: file.name)
def test_every_shipped_file_is_right(validator: Draft7Validator, file: Path) -> None:
    assert [error.message for error in validator.iter_errors(tomllib.loads(file.read_text()))] == []


@pytest.mark.parametrize("line", WRONG)
def test_what_hostler_refuses_the_editor_marks(validator: Draft7Validator, line: str) -> None:
    with pytest.raises(InvalidConfiguration):
        from_dict(table_of(line), base=Path.cwd(), environ={})
    assert not validator.is_valid(table_of(line))


def test_templates_and_profiles_that_hostler_takes_the_editor_takes(validator: Draft7Validator) -> None:
    text = """
    [templates.t]
    parameters = { folder = { required = true }, port = 0, words = ["a"], quiet = false }
    command = "${parameter.words}"
    port = "${parameter.port}"
    guard = "${parameter.quiet}"
    cwd = "${parameter.folder}/x"
    [servers.web]
    template = { use = "t", folder = "x", port = 5, words = ["b"] }
    [servers.other]
    template = { use = "t", folder = "y" }
    [profiles.ci.servers.web]
    port = 80
    [profiles.ci.templates.t]
    title = "T"
    """
    table = tomllib.loads(text)
    from_dict(table, base=Path.cwd(), profiles=["ci"])
    assert [error.message for error in validator.iter_errors(table)] == []


@pytest.mark.parametrize("line", RIGHT)
def test_what_hostler_takes_the_editor_takes(validator: Draft7Validator, line: str) -> None:
    from_dict(table_of(line), base=Path.cwd(), environ={"HOME": "/home/me"})

    assert [error.message for error in validator.iter_errors(table_of(line))] == []


@pytest.mark.parametrize(
    "table",
    [
        {"server": {}},
        {"servers": []},
        {"servers": {"a b": {"command": ["true"]}}},
        {"templates": {"t": {"parameters": ["a"]}}},
        {"templates": {"t": {"parameters": {"use": ""}}}},
        {"templates": {"t": {"parameters": {"a": {"required": False}}}}},
        {"templates": {"t": {"port": "x"}}},
        {"templates": {"t": {"template": "u"}}},
        {"templates": {"t": {}}, "servers": {"web": {"template": 5}}},
        {"servers": {"web": {"command": ["true"], "parameters": {}}}},
        {"defaults": {"command": ["true"]}},
        {"defaults": {"plugins": {"log-rotation": {"kep": 1}}}},
        {"servers": {"web": {"command": ["true"]}}, "profiles": {"ci": {"server": {}}}},
        {"servers": {"web": {"command": ["true"]}}, "profiles": {"ci": {"servers": {"web": {"prot": 1}}}}},
        {"extends": "base.toml", "servers": {"web": {"command": ["true"]}}},
    ],
)
def test_a_mistake_at_the_top_is_marked(validator: Draft7Validator, table: dict[str, object]) -> None:
    assert not validator.is_valid(table)


def test_a_class_of_ones_own_may_have_any_options(validator: Draft7Validator) -> None:
    assert validator.is_valid(table_of('plugins = { mine = { use = "mine.py:Mine", path = 1 } }'))
    assert validator.is_valid(table_of('plugins = { regex-port = { use = "mine.py:Mine", path = 1 } }'))


@pytest.mark.parametrize(
    "context",
    [
        'extends = ["base.toml"]\n[servers.web.plugins]\nmine = { path = 1 }',
        '[servers.web]\ntemplate = "t"\n[servers.web.plugins]\nmine = { path = 1 }',
        "[profiles.ci.servers.web.plugins]\nmine = true",
        '[defaults.plugins]\nmine = { use = "m.py:M" }\n[servers.web.plugins]\nmine = { path = 1 }',
        "[profiles.ci.defaults.plugins]\nmine = true",
        'extends = ["base.toml"]\n[templates.t.plugins]\nmine = true',
    ],
)
def test_a_plugin_whose_class_is_named_elsewhere_is_taken(validator: Draft7Validator, context: str) -> None:
    assert validator.is_valid(tomllib.loads(context))


@pytest.mark.parametrize(
    "context",
    [
        "[servers.web.plugins]\nmine = { path = 1 }",
        "[servers.web.plugins]\nregx-port = true",
        "[servers.web.plugins]\nmine = { use = 3 }",
        "[templates.t.plugins]\nmine = true",
        "[defaults.plugins]\nmine = true",
        "[defaults.plugins]\nlog-rotation = true\n[servers.web.plugins]\nmine = true",
        'extends = ["base.toml"]\n[servers.web.plugins]\nmine = 3',
        'extends = ["base.toml"]\n[servers.web.plugins]\nregex-port = { patern = "x" }',
    ],
)
def test_a_plugin_whose_class_nobody_can_name_is_marked(validator: Draft7Validator, context: str) -> None:
    assert not validator.is_valid(tomllib.loads(context))


def test_an_option_that_is_a_secret_is_a_table_with_its_place() -> None:
    schema = options_schema(Locked)

    def takes(key: str, value: object) -> bool:
        return Draft7Validator(schema).is_valid({key: value})

    assert takes("key", {"secret": "env:A"})
    assert takes("either", "plain")
    assert takes("either", {"secret": "file:/a"})
    assert not takes("key", "plain")
    assert not takes("key", {"secret": "vault:A"})
    assert not takes("either", {"secret": "env:A", "b": 1})


def test_every_key_of_a_server_and_no_other_is_described() -> None:
    assert set(SERVER_KEYS) == set(ServerSpec.__dataclass_fields__) - {
        "name",
        "secrets",
        "unset",
        "environ",
        "template",
    }
    assert set(RESTART_KEYS) == set(RestartPolicy.__dataclass_fields__)


@pytest.mark.parametrize("name", installed())
def test_every_option_of_every_plugin_is_described(validator: Draft7Validator, name: str) -> None:
    schema: Any = validator.schema
    _, _, options, _ = schema["definitions"]["plugins"]["properties"][name]["anyOf"]
    class_ = plugin_class(PluginSpec(name))

    assert {
        key: value["description"].removesuffix(" (required)") for key, value in options["properties"].items()
    } == {key: field.metadata["meaning"] for key, field in option_fields(class_).items()}


@pytest.mark.parametrize("name", installed())
def test_an_editor_is_told_what_true_means_and_each_default(validator: Draft7Validator, name: str) -> None:
    schema: Any = validator.schema
    plugin = schema["definitions"]["plugins"]["properties"][name]
    on, off, options, _ = plugin["anyOf"]
    defaults = {key: value["default"] for key, value in options["properties"].items() if "default" in value}
    assert [error.message for error in Draft7Validator(options).iter_errors(defaults)] == []
    assert (on["const"], off["const"]) == (True, False)
    assert on["description"][2:] in plugin["description"]
    if "default" in options:
        assert options["default"] == defaults
        assert all(f"{key} = " in on["description"] for key in defaults)
        plugin_class(PluginSpec(name))()
    else:
        assert "it needs some" in on["description"]
        with pytest.raises((TypeError, ValueError)):
            plugin_class(PluginSpec(name))()


def test_the_default_of_every_key_is_taken(validator: Draft7Validator) -> None:
    schema: Any = validator.schema
    tables = [schema["definitions"][name]["properties"] for name in ("server", "restart")]
    known = [
        {key: value["default"] for key, value in table.items() if "default" in value} for table in tables
    ]
    server = known[0] | {"command": ["true"], "restart": known[1]}
    assert [error.message for error in validator.iter_errors({"servers": {"web": server}})] == []
    del server["task_timeout"]  # only a task may say it
    spec = from_dict({"servers": {"web": server}}, base=Path.cwd()).servers["web"]
    assert spec == ServerSpec(name="web", command=("true",), cwd=Path.cwd())


def test_the_command_prints_the_schema(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "hostler.cli", "schema"]
    done = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    schema = json.loads(done.stdout)
    assert validators.validator_for(schema, Validator) is Draft7Validator  # as an editor finds it
    Draft7Validator.check_schema(schema)
    assert set(installed()) <= set(schema["definitions"]["plugins"]["properties"])


def test_a_plugin_that_cannot_be_imported_is_left_out_and_named(tmp_path: Path) -> None:
    package = tmp_path / "broken-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[hostler.plugins]\nbroken = no_such_module:Broken\n")
    call = [sys.executable, "-m", "hostler.cli", "schema"]
    done = subprocess.run(
        call, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}, timeout=60, check=False
    )

    assert done.returncode == 0
    assert "left out: broken cannot be used" in done.stderr
    assert "broken" not in json.loads(done.stdout)["definitions"]["plugins"]["properties"]
