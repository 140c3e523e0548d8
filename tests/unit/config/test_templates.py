"""Templates: what servers have in common, with parameters; and the servers that are made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostler.config.dump import dump
from hostler.config.load import from_dict, load
from hostler.errors import InvalidConfiguration
from hostler.model.spec import ServerSpec

Write = Callable[[str, str], Path]

TEMPLATE = """\
[templates.app]
parameters = { folder = { required = true }, port = 0, stage = "test" }
command = ["serve", "--port", "${parameter.port}", "--stage=${parameter.stage}", "${server.name}"]
cwd = "${parameter.folder}"
port = "${parameter.port}"
env = { STAGE = "${parameter.stage}", HOME_OF = "${HOME}/${parameter.stage}" }

[templates.app.plugins]
first = { use = "plugin.py:Launcher", count = "${parameter.port}", pattern = "p" }
second = { use = "plugin.py:Watcher" }
"""
NO_PORT = "expected a whole number from 0 to 65535 (0: a free port), or false (no port)"
PARAMETERS = "expected a table of parameters, such as { folder = { required = true }, port = 0 }"
VALUE = "expected a string, a number, true, false or a list"
NOT_A_NAME = 'not a name for a parameter: letters, digits and _, no digit first, not "use"'
BROKEN = "a ${ that is not ${NAME} or ${NAME:-default}; a plain ${ is written $${"
WHICH = 'expected the name of a template, or a table { use = "NAME", PARAMETER = ... }'
UNKNOWN = (
    "3: templates.t.cwd: the template has no parameter ${parameter.foldr}; "
    'did you mean "${parameter.folder}"?'
)
NEEDED = 'the template "app" needs the parameter folder'
WRITE_IT = 'write template = { use = "app", folder = ... }'
NO_PARAMETER = 'the template "app" has no parameter of this name'
ENVIRON = {"HOME": "/home/ada", "STAGE": "live"}


def mistakes(call: Callable[[], object]) -> list[str]:
    with pytest.raises(InvalidConfiguration) as caught:
        call()
    return [str(problem) for problem in caught.value.problems]


def made(write: Write, text: str, **options: Any) -> ServerSpec:
    """The server "a" of a file with the template and this text."""
    return load(write("a.toml", TEMPLATE + text), environ=ENVIRON, **options).servers["a"]


def test_a_server_of_a_template_is_two_lines(write: Write, tmp_path: Path) -> None:
    server = made(write, "[servers.a]\ntemplate = { use = 'app', folder = 'work', port = 4000 }\n")
    assert server.name == "a"
    assert server.command == ("serve", "--port", "4000", "--stage=test", "a")
    assert (server.cwd, server.port) == (tmp_path / "work", 4000)
    assert server.env == {"STAGE": "test", "HOME_OF": "/home/ada/test"}
    assert [(plugin.name, plugin.options) for plugin in server.plugins] == [
        ("first", {"count": 4000, "pattern": "p"}),
        ("second", {}),
    ]


def test_a_template_without_parameters_is_named_alone(write: Write) -> None:
    file = write("a.toml", "[templates.t]\ncommand = ['x']\nport = 5\n[servers.a]\ntemplate = 't'\n")
    assert load(file).servers["a"].port == 5


def test_the_servers_own_keys_lie_over_the_template(write: Write) -> None:
    server = made(
        write,
        """
        [servers.a]
        template = { use = "app", folder = "work" }
        port = 7000
        env = { STAGE = "own" }
        [servers.a.plugins]
        second = false
        first = { count = 3 }
        third = { use = "plugin.py:Watcher" }
        """,
    )
    assert server.port == 7000
    assert server.env == {"STAGE": "own", "HOME_OF": "/home/ada/test"}
    assert [(plugin.name, plugin.options) for plugin in server.plugins] == [
        ("first", {"count": 3, "pattern": "p"}),
        ("third", {}),
    ]


@pytest.mark.parametrize("value", ["false", "8080", "'${PORT}'"])
def test_a_reference_that_stands_alone_keeps_the_type_of_the_parameter(write: Write, value: str) -> None:
    text = f"""
    [templates.t]
    parameters = {{ port = {{ required = true }}, words = ["a", "b"], flag = false }}
    command = ["x"]
    port = "${{parameter.port}}"
    guard = "${{parameter.flag}}"
    plugins = {{ first = {{ use = "plugin.py:Launcher", words = "${{parameter.words}}" }} }}
    [servers.a]
    template = {{ use = "t", port = {value} }}
    """
    server = load(write("a.toml", text), environ={"PORT": "90"}).servers["a"]
    assert server.port == {"false": None, "8080": 8080, "'${PORT}'": 90}[value]
    assert server.guard is False
    assert server.plugins[0].options["words"] == ["a", "b"]


def test_the_whole_command_may_be_a_parameter(write: Write) -> None:
    text = """
    [templates.t]
    parameters = { run = { required = true } }
    command = "${parameter.run}"
    [servers.a]
    template = { use = "t", run = ["./serve", "${server.port}"] }
    """
    write("a.toml", text)
    assert load("a.toml").servers["a"].command == (str(Path.cwd() / "serve"), "${server.port}")


def test_numbers_and_flags_become_text_within_a_string(write: Write) -> None:
    text = """
    [templates.t]
    parameters = { number = 1.5, flag = true, day = 1979-05-27 }
    command = ["x", "${parameter.number}", "${parameter.flag}", "on ${parameter.day}"]
    env = { N = "${parameter.number}" }
    [servers.a]
    template = "t"
    """
    server = load(write("a.toml", text)).servers["a"]
    assert server.command == ("x", "1.5", "true", "on 1979-05-27")
    assert server.env == {"N": "1.5"}


def test_an_empty_parameter_takes_the_default_that_stands_in_the_string(write: Write) -> None:
    text = """
    [templates.t]
    parameters = { word = "" }
    command = ["x", "${parameter.word:-none $$}", "${parameter.word:-}", "<${parameter.word}>"]
    [servers.a]
    template = "t"
    [servers.b]
    template = { use = "t", word = "w" }
    """
    servers = load(write("a.toml", text)).servers
    assert servers["a"].command == ("x", "none $$", "", "<>")
    assert servers["b"].command == ("x", "w", "w", "<w>")


# -- what is in a parameter ------------------------------------------------------------------------


def test_a_parameter_may_refer_to_what_any_string_may_and_is_filled_in_once(write: Write) -> None:
    server = made(
        write,
        """
        [servers.a]
        template = { use = "app", folder = "${HOME}/x", stage = "${STAGE} ${server.port} $${HOME}" }
        """,
    )
    assert str(server.cwd) == "/home/ada/x"
    assert server.command[3] == "--stage=live ${server.port} $${HOME}"
    assert server.env["HOME_OF"] == "/home/ada/live ${server.port} $${HOME}"


def test_a_parameter_cannot_complete_a_reference_begun_elsewhere(write: Write) -> None:
    text = """
    [templates.t]
    parameters = { one = "$", two = "{HOME}" }
    command = ["x", "${parameter.one}${parameter.two}", "${parameter.one}{HOME}", "a$${parameter.two}"]
    [servers.a]
    template = "t"
    """
    server = load(write("a.toml", text), environ=ENVIRON).servers["a"]
    assert server.command == ("x", "$${HOME}", "$${HOME}", "a$${parameter.two}")


def test_what_is_written_back_is_the_server_itself_without_any_value_of_the_environment(write: Write) -> None:
    server = "[servers.a]\ntemplate = { use = 'app', folder = '${config.dir}/x', stage = '${STAGE}' }\n"
    write("deep/plugin.py", Path("plugin.py").read_text())
    configuration = load(write("deep/a.toml", TEMPLATE + server), environ=ENVIRON)
    text = dump(configuration)
    assert "template" not in text
    assert "parameter" not in text
    assert 'STAGE = "${STAGE}"' in text
    assert "live" not in text
    assert load(write("b.toml", text), environ=ENVIRON).servers == configuration.servers


# -- paths -----------------------------------------------------------------------------------------


def test_a_path_of_the_template_is_seen_from_its_file_and_one_that_is_given_from_where_it_is_given(
    write: Write, tmp_path: Path
) -> None:
    write(
        "lib/base.toml",
        """
        [templates.t]
        parameters = { folder = "default", tool = "./tool" }
        command = ["${parameter.tool}", "${config.dir}"]
        cwd = "${parameter.folder}"
        [templates.fixed]
        command = ["./own"]
        cwd = "here"
        [templates.below]
        parameters = { folder = { required = true } }
        command = ["x"]
        cwd = "${parameter.folder}/below"
        env = { AT = "${config.dir}/${parameter.folder}" }
        """,
    )
    file = write(
        "app/a.toml",
        """
        extends = ["../lib/base.toml"]
        [servers.default]
        template = "t"
        [servers.given]
        template = { use = "t", folder = "work", tool = "bin/run" }
        [servers.fixed]
        template = "fixed"
        [servers.below]
        template = { use = "below", folder = "work" }
        """,
    )
    servers = load(file).servers
    lib, app = tmp_path / "lib", tmp_path / "app"
    assert (servers["default"].cwd, servers["default"].command[0]) == (lib / "default", str(lib / "tool"))
    assert (servers["given"].cwd, servers["given"].command[0]) == (app / "work", str(app / "bin" / "run"))
    assert servers["given"].command[1] == str(lib)
    assert (servers["fixed"].cwd, servers["fixed"].command[0]) == (lib / "here", str(lib / "own"))
    assert servers["below"].cwd == app / "work" / "below"
    assert servers["below"].env["AT"] == f"{lib}/work"


def test_a_home_folder_may_be_given(write: Write) -> None:
    assert str(made(write, "[servers.a]\ntemplate = { use = 'app', folder = '~/x' }\n").cwd) == "/home/ada/x"


# -- mistakes --------------------------------------------------------------------------------------

RIGHT = "[servers.web]\ncommand = ['x']\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("template = 'ap'", '12: servers.a.template: there is no template "ap"; did you mean "app"?'),
        ("template = 'zzz'", '12: servers.a.template: there is no template "zzz"; allowed: app'),
        (
            "template = 5",
            f"12: servers.a.template: {WHICH}, found 5",
        ),
        (
            "template = { folder = 'x' }",
            '12: servers.a.template.use: which template? use = "NAME" is missing',
        ),
        (
            "template = { use = 'ap' }",
            '12: servers.a.template.use: there is no template "ap"; did you mean "app"?',
        ),
        ("template = 'app'", f"12: servers.a.template.folder: {NEEDED}: {WRITE_IT}"),
        (
            "template = { use = 'app', foldr = 'x' }",
            f'12: servers.a.template.foldr: {NO_PARAMETER}; did you mean "folder"?',
        ),
        (
            "template = { use = 'app', folder = 'x', prot = 1 }",
            f'12: servers.a.template.prot: {NO_PARAMETER}; did you mean "port"?',
        ),
        (
            "template = { use = 'app', folder = { x = 1 } }",
            f"12: servers.a.template.folder: {VALUE}, found a table",
        ),
        (
            "template = { use = 'app', folder = 'x', stage = '${' }",
            f'12: servers.a.template.stage: {BROKEN}, found "${{"',
        ),
        (
            "template = { use = 'app', folder = 'x', port = 'x' }",
            f'12: servers.a.port: {NO_PORT}, found "x"',
        ),
        (
            "template = { use = 'app', folder = 'x', stage = ['x'] }",
            "3: servers.a.command[3]: ${parameter.stage} is a list: it cannot be a part of a string",
        ),
        ("templat = 'app'", '12: servers.a.templat: unknown key; did you mean "template"?'),
    ],
)
def test_a_mistake_of_a_server_is_told_at_its_line(write: Write, text: str, message: str) -> None:
    file = write("a.toml", f"{TEMPLATE}[servers.a]\n{text}\n{RIGHT}")
    assert f"a.toml:{message}" in mistakes(lambda: load(file, environ=ENVIRON))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("templates = 5", "1: templates: expected a table of templates, [templates.NAME], found 5"),
        ("templates.t = 5", "1: templates.t: expected a table, [templates.t], found 5"),
        ("[templates.t]\nprot = 1", '2: templates.t.prot: unknown key; did you mean "port"?'),
        (
            "[templates.t]\nparamters = {}",
            '2: templates.t.paramters: unknown key; did you mean "parameters"?',
        ),
        (
            "[templates.t]\nparameters = ['a']",
            f"2: templates.t.parameters: {PARAMETERS}, found a list",
        ),
        (
            "[templates.t]\nparameters = { a = {} }",
            "2: templates.t.parameters.a: expected a default, or { required = true }, found a table",
        ),
        (
            "[templates.t]\nparameters = { a = '${' }\ncommand = ['x', '-${parameter.a}']",
            f'2: templates.t.parameters.a: {BROKEN}, found "${{"',
        ),
        (
            "[templates.t]\nparameters = { use = 1 }",
            f"2: templates.t.parameters.use: {NOT_A_NAME}",
        ),
        (
            "[templates.t]\nparameters = { folder = '' }\ncwd = '${parameter.foldr}'",
            UNKNOWN,
        ),
        (
            "[templates.t]\ncwd = '${parameter.'",
            f'2: templates.t.cwd: {BROKEN}, found "${{parameter."',
        ),
        (
            "[templates.t]\ntemplate = 'x'",
            "2: templates.t.template: a template cannot be made of another; write its keys here",
        ),
        (
            "[templates.t]\nport = 'x'",
            f'2: templates.t.port: {NO_PORT}, found "x"',
        ),
        (
            "[templates.t.restart]\npolicy = 'x'",
            '2: templates.t.restart.policy: expected one of "on-failure", "always", "never", found "x"',
        ),
        (
            "[templates.t.plugins]\nfirst = { use = 'plugin.py:Launcher', coun = 1 }",
            '2: templates.t.plugins.first.coun: unknown option; did you mean "count"?',
        ),
    ],
)
@pytest.mark.parametrize("used", [False, True], ids=["not used", "used"])
def test_a_mistake_of_a_template_is_told_once_whether_it_is_used_or_not(
    write: Write, text: str, message: str, used: bool
) -> None:
    servers = (
        "".join(f"[servers.{name}]\ntemplate = 't'\ncommand = ['x']\n" for name in "ab") if used else RIGHT
    )
    file = write("a.toml", f"{text}\n{servers}")
    told = mistakes(lambda: load(file))
    assert [one for one in told if 'there is no template "t"' not in one] == [f"a.toml:{message}"]


def test_a_template_that_nobody_uses_may_refer_to_what_is_not_there(write: Write) -> None:
    text = """
    [templates.t]
    parameters = { tool = { required = true } }
    command = ["${NOWHERE}", "${parameter.tool}"]
    port = "${NOWHERE}"
    plugins = { first = { use = "plugin.py:Launcher", source = "${parameter.tool}" } }
    """
    assert list(load(write("a.toml", text + RIGHT), environ={}).servers) == ["web"]


def test_what_needs_a_server_of_a_wrong_template_is_no_second_mistake(write: Write) -> None:
    file = write("a.toml", "[servers.a]\ntemplate = 'x'\n[servers.b]\ncommand = ['x']\nneeds = ['a']\n")
    assert mistakes(lambda: load(file)) == ['a.toml:2: servers.a.template: there is no template "x"']


def test_a_parameter_reference_outside_of_a_template_is_a_mistake(write: Write) -> None:
    file = write("a.toml", "[servers.a]\ncommand = ['x', '${parameter.x}']\n")
    (told,) = mistakes(lambda: load(file))
    assert told.startswith("a.toml:2: servers.a.command[1]: ${parameter.x} is not defined")


def test_templates_alone_are_a_configuration_without_servers(write: Write) -> None:
    configuration = load(write("a.toml", TEMPLATE), environ=ENVIRON)
    assert (list(configuration.servers), list(configuration.templates)) == ([], ["app"])


# -- from Python -----------------------------------------------------------------------------------


def test_a_program_makes_specs_of_a_template(write: Write, tmp_path: Path) -> None:
    templates = load(write("a.toml", TEMPLATE + RIGHT), environ=ENVIRON).templates
    spec = templates["app"]("new", folder="work", port=5)
    assert (spec.name, spec.cwd, spec.port) == ("new", tmp_path / "work", 5)
    assert templates["app"]("new", folder=tmp_path / "x").cwd == tmp_path / "x"
    assert templates["app"]("new", folder=str(tmp_path)).command[2] == "0"


def test_what_a_program_gives_is_taken_as_it_is(write: Write, tmp_path: Path) -> None:
    templates = load(write("a.toml", TEMPLATE + RIGHT), environ=ENVIRON).templates
    spec = templates["app"]("new", folder=tmp_path / "$$ ${HOME}", stage="${HOME}$")
    assert spec.cwd == tmp_path / "$$ ${HOME}"
    assert spec.command[3] == "--stage=$${HOME}$$"  # the engine fills it in once more
    assert spec.env["STAGE"] == "$${HOME}$$"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, f"template.folder: {NEEDED}"),
        (
            {"folder": "x", "prot": 1},
            f'template.prot: {NO_PARAMETER}; did you mean "port"?',
        ),
        ({"folder": 5}, 'servers.new.cwd: expected a string, found 5; did you mean "5"?'),
        (
            {"folder": {}},
            f"template.folder: {VALUE}, found a table",
        ),
        ({"folder": "x", "port": 2**70}, "template.port: a number of more than 64 bits"),
    ],
)
def test_a_mistake_of_a_program_is_told_without_a_place(
    write: Write, parameters: dict[str, object], message: str
) -> None:
    templates = load(write("a.toml", TEMPLATE + RIGHT), environ=ENVIRON).templates
    assert mistakes(lambda: templates["app"]("new", **parameters)) == [message]


def test_a_name_that_cannot_be_and_what_does_not_fit_together_are_told(write: Write) -> None:
    text = "[templates.t]\nparameters = { host = '127.0.0.1' }\ncommand = ['x']\nhost = '${parameter.host}'\n"
    templates = load(write("a.toml", text)).templates
    assert mistakes(lambda: templates["t"]("a b")) == [
        'a.toml:1: servers."a b": a server\'s name is 1 to 64 letters, digits, - and _; did you mean "a-b"?'
    ]
    (told,) = mistakes(lambda: templates["t"]("a", host="0.0.0.0"))
    assert "may be reached from outside" in told


def test_a_program_may_give_a_list(write: Write) -> None:
    text = "[templates.t]\nparameters = { run = { required = true } }\ncommand = '${parameter.run}'\n"
    templates = load(write("a.toml", text)).templates
    assert templates["t"]("a", run=["x", "$y"]).command == ("x", "$$y")


def test_a_program_gets_a_plugin_as_its_file_is_by_then(write: Write, tmp_path: Path) -> None:
    make = load(write("a.toml", TEMPLATE + RIGHT), environ=ENVIRON).templates["app"]
    assert make("new", folder="work", port=5).plugins[0].options["count"] == 5
    plugin = tmp_path / "plugin.py"
    plugin.write_text(plugin.read_text().replace("count:", "amount:"))
    told = 'servers.new.plugins.first.count: unknown option; did you mean "amount"?'
    assert mistakes(lambda: make("new", folder="work", port=5)) == [told]


def test_a_template_that_is_not_sound_makes_no_servers_and_is_told_once(write: Write) -> None:
    text = "[templates.t]\nparameters = { a = {} }\n[servers.a]\ntemplate = { use = 't', b = 1 }\n"
    assert len(mistakes(lambda: load(write("a.toml", text)))) == 1


def test_a_mapping_has_templates_too(tmp_path: Path) -> None:
    table = {
        "templates": {"t": {"parameters": {"port": 1}, "command": ["x"], "port": "${parameter.port}"}},
        "servers": {"a": {"template": {"use": "t", "port": 7}}},
    }
    configuration = from_dict(table, base=tmp_path)
    assert configuration.servers["a"].port == 7
    assert configuration.templates["t"]("b").port == 1
