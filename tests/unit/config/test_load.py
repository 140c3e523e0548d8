import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hostler.config.dump import dump
from hostler.config.load import from_dict, load
from hostler.errors import InvalidConfiguration
from hostler.model.choices import IdentityCheck, InputMode, OutputMode, RestartMode
from hostler.model.spec import PluginSpec, RestartPolicy, ServerSpec

Write = Callable[[str, str], Path]
HOME = {"HOME": "/home/ada"}


def test_every_key_reaches_the_spec(write: Write, tmp_path: Path) -> None:
    path = write(
        "a.toml",
        """\
        [servers.db]
        command = ["db"]

        [servers.web]
        command = ["bin/web", "--port", "${server.port}"]
        cwd = "work"
        host = "0.0.0.0"
        port = 8080
        port_from_socket = true
        scheme = "https"
        expose = true
        env = { A = "x", B = "" }
        stdin = "open"
        stdout = "inherit"
        stderr = "ignore"
        prepare_timeout = "2m"
        startup_timeout = "1.5s"
        force_kill_timeout = "0s"
        max_connection_failures = 7
        needs = ["db"]
        autostart = false
        identity = "require"
        user = "nobody"
        group = "nogroup"
        no_new_privileges = false
        guard = true
        memory_interval = "0s"

        [servers.web.restart]
        policy = "always"
        max_restarts = 9
        initial_delay = "100ms"
        max_delay = "1m"
        stable_after = "1h"
        start_retries = 0

        [servers.web.plugins.mine]
        use = "plugin.py:Launcher"
        interval = "250ms"
        """,
    )

    configuration = load("a.toml", environ={})

    assert configuration.path == tmp_path / "a.toml"
    assert configuration.namespace == os.path.realpath(path)
    assert list(configuration.servers) == ["db", "web"]
    assert configuration.servers["db"] == ServerSpec(name="db", command=("db",), cwd=tmp_path)
    assert configuration.servers["web"] == ServerSpec(
        name="web",
        command=(f"{tmp_path}/bin/web", "--port", "${server.port}"),
        cwd=tmp_path / "work",
        host="0.0.0.0",
        port=8080,
        port_from_socket=True,
        scheme="https",
        expose=True,
        env={"A": "x", "B": ""},
        stdin=InputMode.OPEN,
        stdout=OutputMode.INHERIT,
        stderr=OutputMode.IGNORE,
        prepare_timeout=120.0,
        startup_timeout=1.5,
        force_kill_timeout=0.0,
        max_connection_failures=7,
        restart=RestartPolicy(RestartMode.ALWAYS, 9, 0.1, 60.0, 3600.0, 0),
        needs=("db",),
        autostart=False,
        identity=IdentityCheck.REQUIRE,
        user="nobody",
        group="nogroup",
        no_new_privileges=False,
        guard=True,
        memory_interval=0.0,
        plugins=(PluginSpec("mine", {"interval": "250ms"}, use=f"{tmp_path}/plugin.py:Launcher"),),
    )


def test_no_port_is_not_a_free_port(write: Write) -> None:
    path = write(
        "a.toml", "[servers]\na = { command = ['x'], port = false }\nb = { command = ['x'], port = 0 }\n"
    )
    servers = load(path).servers

    assert (servers["a"].port, servers["b"].port) == (None, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_needs_no_permission(write: Write, host: str) -> None:
    assert load(write("a.toml", f"[servers.a]\ncommand = ['x']\nhost = '{host}'\n")).servers["a"].host == host


def test_relative_paths_start_from_the_file_that_names_them(write: Write, tmp_path: Path) -> None:
    write("lib/plugin.py", (tmp_path / "plugin.py").read_text())
    write(
        "lib/base.toml",
        """\
        [servers.web]
        command = ["./serve", "${config.dir}", "./not-a-program"]
        cwd = ".."
        plugins.mine = { use = "./plugin.py:Launcher", source = "${config.dir}/x" }
        """,
    )
    path = write(
        "main/a.toml",
        "extends = ['../lib/base.toml']\n[servers.web]\nenv.HERE = '${config.dir}'\nplugins.mine = true\n",
    )

    web = load(path).servers["web"]

    assert web.command == (f"{tmp_path}/lib/serve", f"{tmp_path}/lib", "./not-a-program")
    assert web.cwd == tmp_path
    assert web.env == {"HERE": f"{tmp_path}/main"}
    assert web.plugins[0].use == f"{tmp_path}/lib/plugin.py:Launcher"
    assert web.plugins[0].options["source"] == f"{tmp_path}/lib/x"


def test_a_file_that_is_named_with_dots_has_its_folder_without(write: Write, tmp_path: Path) -> None:
    write("a.toml", "servers.a.command = ['x']")
    (tmp_path / "sub").mkdir()
    assert load(tmp_path / "sub" / ".." / "a.toml").servers["a"].cwd == tmp_path


def test_dots_in_a_path_are_kept_where_a_symlink_makes_them_mean_another_place(
    write: Write, tmp_path: Path
) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    path = write("a.toml", "[servers.web]\ncommand = ['x']\ncwd = 'link/..'\n")

    assert load(path).servers["web"].cwd.resolve() == tmp_path / "far"


def test_a_tilde_is_the_home_of_the_given_environment(write: Write) -> None:
    path = write("a.toml", "[servers.web]\ncommand = ['~/bin/x', '~/y']\ncwd = '~'\n")
    web = load(path, environ=HOME).servers["web"]

    assert web.cwd == Path("/home/ada")
    assert web.command == ("/home/ada/bin/x", "~/y")


def test_a_tilde_with_a_name_is_the_home_of_that_user(write: Write) -> None:
    path = write("a.toml", "[servers.web]\ncommand = ['x']\ncwd = '~root/x'\n")

    assert load(path, environ={}).servers["web"].cwd == Path("~root/x").expanduser()


def test_strings_are_filled_in_everywhere(write: Write) -> None:
    path = write(
        "a.toml",
        """\
        [servers.web]
        command = ["${hostler.python}", "${server.name}", "${server.host}:${server.port}"]
        host = "${HOST:-localhost}"
        port = "${PORT}"
        startup_timeout = "${SECONDS}s"
        env = { URL = "${server.url}", HOME2 = "${HOME}" }
        [servers.web.plugins]
        mine = { use = "${FILE}:Launcher", words = ["${HOME}", "$$x"], headers = { a = "${server.name}" } }
        """,
    )
    web = load(path, environ=HOME | {"SECONDS": "3", "PORT": "8080", "FILE": "./plugin.py"}).servers["web"]

    assert web.command == (sys.executable, "web", "localhost:${server.port}")
    assert web.host == "localhost"
    assert web.port == 8080
    assert web.startup_timeout == 3
    assert web.env == {"URL": "${server.url}", "HOME2": "/home/ada"}
    assert web.plugins[0].options == {"words": ["/home/ada", "$$x"], "headers": {"a": "web"}}


def test_what_the_engine_fills_in_later_is_escaped_in_values(write: Write, tmp_path: Path) -> None:
    folder = tmp_path / "a$b"
    path = write(f"{folder}/a.toml", "[servers.web]\ncommand = ['./x$$', '${V}']\ncwd = '${V}'\n")
    web = load(path, environ={"V": "${server.port}"}).servers["web"]

    assert web.command == (f"{tmp_path}/a$$b/x$$", "$${server.port}")
    assert web.cwd == folder / "${server.port}"


def test_the_environment_of_the_process_is_the_default(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTLER_TEST_VALUE", "from outside")
    path = write("a.toml", "[servers.web]\ncommand = ['x']\nenv.A = '${HOSTLER_TEST_VALUE}'\n")

    assert load(path).servers["web"].env == {"A": "from outside"}


@pytest.mark.requirement("R47")
def test_files_are_laid_over_each_other_in_order(write: Write) -> None:
    write(
        "one.toml",
        """\
        [servers]
        web = { command = ['one', 'x'], port = 1, env = { A = '1', B = '1' } }
        db = { command = ['d'] }
        """,
    )
    write("two.toml", "[servers.web]\nport = 2\nenv.B = '2'\nenv.C = '2'\n")
    path = write(
        "a.toml",
        "extends = ['one.toml', 'two.toml']\nservers.late.command = ['l']\nservers.web.command = ['a']\n",
    )
    servers = load(path).servers

    assert list(servers) == ["web", "db", "late"]
    assert servers["web"].command == ("a",)
    assert servers["web"].port == 2
    assert servers["web"].env == {"A": "1", "B": "2", "C": "2"}


def test_a_file_that_is_extended_many_times_is_read_once(write: Write) -> None:
    for number in range(30):
        base = (
            f"extends = ['{number - 1}.toml', '{number - 1}.toml']"
            if number
            else "[servers.web]\ncommand = ['x']"
        )
        write(f"{number}.toml", base)
    assert load("29.toml").servers["web"].command == ("x",)


def test_extended_files_are_found_by_home_variable_and_absolute_path(write: Write, tmp_path: Path) -> None:
    write("home/one.toml", "[servers.one]\ncommand = ['x']\n")
    write("two.toml", "[servers.two]\ncommand = ['x']\n")
    write("three.toml", "[servers.three]\ncommand = ['x']\n")
    path = write(
        "sub/a.toml",
        f"extends = ['~/one.toml', '{tmp_path}/two.toml', '${{config.dir}}/../${{NAME}}.toml']\n",
    )

    servers = load(path, environ={"HOME": f"{tmp_path}/home", "NAME": "three"}).servers

    assert list(servers) == ["one", "two", "three"]


UNREADABLE = [
    (
        "a.toml",
        "extends = 'b.toml'",
        'a.toml:1: extends: expected a list of paths, such as ["b.toml"], found "b.toml"',
    ),
    ("a.toml", "extends = 5", 'a.toml:1: extends: expected a list of paths, such as ["base.toml"], found 5'),
    (
        "a.toml",
        "extends = ['no.toml']",
        'a.toml:1: extends[0]: "no.toml" cannot be read: there is no such file',
    ),
    ("a.toml", "extends = ['.']", 'a.toml:1: extends[0]: "." cannot be read: Is a directory'),
    ("a.toml", "extends = [\n5]", "a.toml:2: extends[0]: expected the path of a file, found 5"),
    ("a.toml", 'extends = ["\\u0000"]', 'a.toml:1: extends[0]: expected the path of a file, found "\\u0000"'),
    (
        "a.toml",
        "extends = ['~nobody-here']",
        'a.toml:1: extends[0]: expected a home directory that exists, found "~nobody-here"',
    ),
    (
        "a.toml",
        "extends = ['${server.port}']",
        "a.toml:1: extends[0]: ${server.port} is not defined; allowed: ${config.dir}, ${hostler.python}",
    ),
    (
        "a.toml",
        "\nextends = ['a.toml']",
        "a.toml:2: extends[0]: files extend each other in a cycle: a.toml -> a.toml",
    ),
    (
        "d/b.toml",
        "extends = ['../a.toml']",
        "d/b.toml:1: extends[0]: files extend each other in a cycle: a.toml -> d/b.toml -> a.toml",
    ),
    (
        "d/b.toml",
        "x = [",
        "d/b.toml:1:6: not valid TOML: Invalid value; a ] is missing at its end\n    x = [\n         ^",
    ),
    (
        "a.toml",
        "x = 1\nx = 2\n",
        "a.toml:2:6: not valid TOML: x stands twice: this key is there already, in line 1",
    ),
    ("a.toml", "x =\t\x1b[1m", "a.toml:1:5: not valid TOML: Invalid value\n    x =  [1m\n        ^"),
    ("a.toml", "x = " + "1" * 5000, "a.toml: not valid TOML: Exceeds the limit"),
    ("a.toml", "x = 0x" + "f" * 400, "a.toml:1: x: a number of more than 64 bits"),
    ("a.toml", "x = " + "[" * 2000 + "]" * 2000, "a.toml: nested too deeply"),
    ("a.toml", "\nx" + ".x" * 60 + " = 1", "a.toml:2: x.x.x.x.x"),
    ("a.toml", "#" * 2**22 + "#", "a.toml: larger than 4 MiB: this is no configuration"),
]


@pytest.mark.parametrize(("name", "text", "message"), UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_file_that_cannot_be_used_is_told_with_its_place(
    write: Write, name: str, text: str, message: str
) -> None:
    path = write("a.toml", "extends = ['d/b.toml']\n")
    write(name, text)
    with pytest.raises(InvalidConfiguration) as caught:
        load(path, environ={})
    assert str(caught.value.problems[0]).startswith(message)
    assert len(caught.value.problems) == 1


def test_a_long_line_is_cut_around_the_mistake(write: Write) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        load(write("a.toml", f"x = '{'a' * 500}' y{'b' * 500}\n"))
    row, pointer = str(caught.value).split("\n")[1:]
    assert row[pointer.index("^")] == "y"
    assert len(row) < 120


def test_all_broken_files_are_told_at_once(write: Write) -> None:
    write("b.toml", "x = ")
    write("c.toml", "y = ")
    path = write("a.toml", "extends = ['b.toml', 'c.toml', 'no.toml']\n")
    with pytest.raises(InvalidConfiguration) as caught:
        load(path)
    assert [str(problem.file) for problem in caught.value.problems] == ["b.toml", "c.toml", "a.toml"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no.toml", "no.toml: there is no such file"),
        ("d", "d: cannot be read: Is a directory"),
        ("a\0b", "cannot be read: embedded null byte"),
    ],
)
def test_a_path_without_a_file_is_told(write: Write, path: str, message: str) -> None:
    write("d/x.toml", "")
    with pytest.raises(InvalidConfiguration) as caught:
        load(path)
    assert str(caught.value).endswith(message)


def test_what_is_not_utf_8_is_told_with_its_line(write: Write) -> None:
    path = write("a.toml", "")
    path.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(
        InvalidConfiguration, match=r"^a.toml:2: not UTF-8 \(byte 0xFF\); save the file as UTF-8$"
    ):
        load(path)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(write: Write) -> None:
    path = write("a.toml", "")
    path.write_bytes(b"\xef\xbb\xbf[servers.web]\r\ncommand = ['x']\r\n")

    assert load(path).servers["web"].command == ("x",)


def test_a_chain_of_files_that_never_ends_is_refused(write: Write) -> None:
    for number in range(60):
        write(f"{number}.toml", f"extends = ['{number + 1}.toml']\n")
    with pytest.raises(InvalidConfiguration, match=r"extends\[0\]: more than 50 files extend one another$"):
        load("0.toml")


def test_a_mapping_is_checked_as_a_file_would_be(tmp_path: Path) -> None:
    configuration = from_dict(
        {"servers": {"web": {"command": ("./x", "${A}"), "cwd": Path("work"), "port": 0}}},
        base=tmp_path,
        environ={"A": "b"},
    )

    assert configuration.namespace is None
    assert configuration.path is None
    assert configuration.servers == {
        "web": ServerSpec(name="web", command=(f"{tmp_path}/x", "b"), cwd=tmp_path / "work")
    }


def test_a_mapping_can_extend_a_file(write: Write, tmp_path: Path) -> None:
    write("b.toml", "[servers.web]\ncommand = ['x']\nport = 1\n")
    configuration = from_dict({"extends": ["b.toml"], "servers": {"web": {"port": 2}}}, base=tmp_path)

    assert configuration.servers["web"] == ServerSpec(name="web", command=("x",), port=2, cwd=tmp_path)


def circular() -> dict[str, object]:
    mapping: dict[str, object] = {}
    mapping["servers"] = mapping
    return mapping


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"servers": {"web": {"comand": ["x"]}}}, 'servers.web.comand: unknown key; did you mean "command"?'),
        (
            {"servers": {"web": {"command": ["x"], "port": object()}}},
            "servers.web.port: expected a whole number",
        ),
        (
            {"servers": {"web": {"command": ["x"], "cwd": b"x"}}},
            "servers.web.cwd: expected a string, found a bytes",
        ),
        ({"servers": {5: {"command": ["x"]}}}, "servers: a key that is not a string"),
        (
            {"servers": {"web": {"max_connection_failures": 2**70}}},
            "servers.web.max_connection_failures: a number of",
        ),
        (circular(), "servers.servers.servers"),
    ],
)
def test_a_mistake_in_a_mapping_is_told_with_its_key(
    mapping: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        from_dict(mapping, base=tmp_path)
    assert message in str(caught.value)


def test_loading_imports_nothing_heavy(write: Write) -> None:
    path = write("a.toml", "[servers.web]\ncommand = ['x']\n")
    program = "import sys; from hostler.config.load import load; load(sys.argv[1]); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program, str(path)], check=True, capture_output=True, text=True
    ).stdout

    assert not {"aiohttp", "rich", "psutil", "asyncio", "anyio", "pluggy", "tomli_w", "difflib"} & set(
        loaded.split()
    )


def test_without_a_line_of_its_own_a_mistake_is_told_at_what_is_around_it(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The scanner loses its way only in a form of TOML that is newer than any Python at hand.
    monkeypatch.setattr(
        "hostler.config.source.positions.lines", lambda _: {("servers",): 1, ("servers", "web"): 1}
    )
    with pytest.raises(InvalidConfiguration, match=r"^a.toml:1: servers.web.port: expected a whole number"):
        load(write("a.toml", "[servers.web]\ncommand = ['x']\nport = true\n"))


def test_a_command_may_be_one_string_wherever_a_command_stands(
    write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    text = """\
    [templates.site]
    parameters = { folder = "two words" }
    command = "./serve '${parameter.folder}' --port ${server.port}"
    [servers.site]
    template = "site"
    """
    configuration = load(write("a.toml", text), settings={"servers.other.command": "other 'a b'"})
    argv = (str(tmp_path / "serve"), "two words", "--port", "${server.port}")
    assert configuration.servers["site"].command == argv
    assert configuration.servers["other"].command == ("other", "a b")
    assert ServerSpec(name="web", command="serve 'a b'").command == ("serve", "a b")  # type: ignore[arg-type]
    assert "'${parameter" not in dump(configuration)
    with pytest.raises(InvalidConfiguration, match=r"servers.web.command: && is an operator of a shell"):
        ServerSpec(name="web", command="a && b")  # type: ignore[arg-type]
    whole = load(write("a.toml", "[servers.web]\ncommand = '${RUN}'\n"), environ={"RUN": "serve --port 1"})
    assert whole.servers["web"].command == ("serve", "--port", "1")
    with pytest.raises(InvalidConfiguration, match=r'"\$\{RUN\}" is not a command line'):
        load(write("a.toml", "[servers.web]\ncommand = '${RUN}'\n"), environ={"RUN": "a & secret"})
    with pytest.raises(InvalidConfiguration, match=r"a.toml:2: servers.web.command: \| is an operator"):
        load(write("a.toml", "[servers.web]\ncommand = 'a | b'\n"))
