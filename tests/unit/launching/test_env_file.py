"""Files of variables: read at each start as they stand, under `env`, with nothing in them run."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest
from child_environment import environment_of
from hostler import (
    Condition,
    Directories,
    EnvFile,
    EnvironmentSetupFailed,
    Event,
    Kind,
    Need,
    Notice,
    PluginSpec,
    Secret,
    ServerSpec,
    Spawned,
    Supervisor,
    from_dict,
)
from hostler.config.preflight.inspector import Inspector
from hostler.launching.env_file import read_env_file
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from specs import QUICK

VALUE = "sesame-open-sesame"


def private(file: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file that only its user can read."""
    file.write_bytes(text.encode())
    file.chmod(mode)
    return file


def staying(**fields: object) -> ServerSpec:
    """A server without a port that waits to be stopped."""
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    return ServerSpec(**({"name": "fake", "command": command, "port": None, "restart": QUICK} | fields))  # type: ignore[arg-type]


async def start(
    spec: ServerSpec, directories: Directories, **environ: str
) -> tuple[dict[str, str], Spawned, list[Event]]:
    """Start it once: what its process has, what was told of it, and all events."""
    heard: list[Event] = []
    host = {"PATH": os.environ["PATH"]} | environ
    async with Supervisor(spec, directories=directories, environ=host) as supervisor:
        supervisor.listen(heard.append)
        await supervisor["fake"].wait_ready(20)
        found = await environment_of(supervisor["fake"])
    return found, next(event for event in heard if isinstance(event, Spawned)), heard


# -- the file --------------------------------------------------------------------------------------


def test_a_file_is_read_as_other_tools_write_it(tmp_path: Path) -> None:
    file = private(
        tmp_path / ".env",
        "\ufeff# a comment\n\nexport A=1\r\nB = two words # said aside\nC='$HOME ${HOME} `id` $(id)'\n"
        'D="a\\tb\\"c"\nE=\nF="one\ntwo"\nG=#no comment\nA=2\nH=$HOME\n',
    )

    assert read_env_file(EnvFile(file)) == {
        "A": "2",
        "B": "two words",
        "C": "$HOME ${HOME} `id` $(id)",
        "D": 'a\tb"c',
        "E": "",
        "F": "one\ntwo",
        "G": "#no comment",
        "H": "$HOME",
    }


def test_backticks_quote_as_for_node_and_the_dotenv_of_npm(tmp_path: Path) -> None:
    file = private(
        tmp_path / ".env",
        "A=`a # b`\nexport B = `it's \"so\"` # said aside\n\nC=`one\r\n\ntwo`\nD=a `b` c\nE='`x'\n"
        'F="one\nG=`two`\n"\nH=``\nI=`$HOME \\n`',
    )

    assert read_env_file(EnvFile(file)) == {
        "A": "a # b",
        "B": 'it\'s "so"',
        "C": "one\n\ntwo",
        "D": "a `b` c",
        "E": "`x",
        "F": "one\nG=`two`\n",
        "H": "",
        "I": "$HOME \\n",
    }


async def test_names_with_dots_and_dashes_reach_the_server(tmp_path: Path, directories: Directories) -> None:
    file = private(tmp_path / ".env", "spring.port=1\nx-api=2\n")
    env = {"my.app-name": "3", "db.password": Secret("env:PASSWORD")}
    found, spawned, _ = await start(staying(env=env, env_file=file), directories, PASSWORD=VALUE)
    wanted = {"spring.port": "1", "x-api": "2", "my.app-name": "3", "db.password": VALUE}
    assert wanted.items() <= found.items()
    assert spawned.env["db.password"] == "********"


WRONG = [
    ("A=1\n\n  just words zebra\n", ":3: not NAME=value"),
    ("A=1\nzebra\n", ":2: a name without a value; NAME= is an empty one"),
    ("A='zebra\n\nB=1\n", ":1: not NAME=value"),
    ("=zebra\n", ":1: not NAME=value"),
    ("A B=zebra\n", ":1: not NAME=value"),
    ("zebra/x=1\n", ":1: not a name for a variable: letters, digits, _, . and -, a letter or _ first"),
    ("1zebra=1\n", ":1: not a name for a variable: letters, digits, _, . and -, a letter or _ first"),
    ("A=`zebra\n\nB=1\n", ":1: a value in backticks ends with the next backtick"),
    ("A=`zebra` zebra\n", ":1: a value in backticks ends with the next backtick"),
    ("KEY=-----BEGIN KEY-----\nzebra/zebra+zebra==\n", ":2: not a name for a variable"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_line_that_is_none_is_told_by_its_number_and_not_by_what_stands_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, message: str
) -> None:
    file = private(tmp_path / ".env", text)
    with caplog.at_level(logging.DEBUG), pytest.raises(EnvironmentSetupFailed) as caught:
        read_env_file(EnvFile(file))
    assert caught.value.message.startswith(f"{file}{message}")
    assert "zebra" not in str(caught.value)
    assert not caplog.records


def test_all_wrong_lines_are_told_at_once(tmp_path: Path) -> None:
    file = private(tmp_path / ".env", "one\nA=1\n2=2\n")
    with pytest.raises(EnvironmentSetupFailed) as caught:
        read_env_file(EnvFile(file))
    assert [line.partition(": ")[0] for line in caught.value.message.splitlines()] == [
        f"{file}:1",
        f"{file}:3",
    ]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"A=\0\n", "it contains a NUL character"),
        (b"A=\xff\n", "it is not UTF-8"),
        (b"A=" + b"x" * 2**20, "it is larger than 1024 KiB"),
        (b"#\n" * 10_001, "it has more than 10000 lines"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / ".env").write_bytes(data)
    with pytest.raises(EnvironmentSetupFailed, match=reason):
        read_env_file(EnvFile(tmp_path / ".env"))


def test_only_an_optional_file_may_be_missing(tmp_path: Path) -> None:
    assert read_env_file(EnvFile(tmp_path / "none", optional=True)) == {}
    with pytest.raises(EnvironmentSetupFailed) as caught:
        read_env_file(EnvFile(tmp_path / "none"))
    assert caught.value.message == f"the env_file {tmp_path}/none cannot be read: there is no such file"
    assert "optional = true" in caught.value.context.hint
    with pytest.raises(EnvironmentSetupFailed) as caught:
        read_env_file(EnvFile(tmp_path / "$HOME/.env"))
    assert caught.value.context.hint == "write ${HOME} for a variable in env_file"


def test_an_optional_file_that_is_there_has_to_be_right(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentSetupFailed, match="not NAME=value"):
        read_env_file(EnvFile(private(tmp_path / ".env", "= x"), optional=True))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet="AB=\n\r'\"\\# ${}\t1é\ufeff\u2028", max_size=40))
def test_whatever_stands_there_is_read_or_refused_with_a_line(tmp_path: Path, text: str) -> None:
    file = private(tmp_path / ".env", text)
    try:
        variables = read_env_file(EnvFile(file))
    except EnvironmentSetupFailed as error:
        lines = [line.removeprefix(f"{file}:").partition(":")[0] for line in error.message.splitlines()]
        assert all(1 <= int(line) <= text.count("\n") + text.count("\r") + 1 for line in lines)
    else:
        assert all(name.isascii() and value is not None for name, value in variables.items())


# -- in a server -----------------------------------------------------------------------------------


async def test_later_files_win_over_earlier_ones_and_env_over_all(
    tmp_path: Path, directories: Directories
) -> None:
    one = private(tmp_path / "one", "A=one\nB=one\nC=one\nHOME=/one\n")
    two = private(tmp_path / "two", "B=two\nC=two\n")
    files = (EnvFile(one), EnvFile(two), EnvFile(tmp_path / "none", optional=True))
    given, spawned, _ = await start(staying(env_file=files, env={"C": "env"}), directories, HOME="/home")

    assert {name: given[name] for name in ("A", "B", "C", "HOME")} == {
        "A": "one",
        "B": "two",
        "C": "env",
        "HOME": "/one",
    }
    assert {name: spawned.origins[name] for name in ("A", "B", "C", "HOME", "PATH")} == {
        "A": f"env_file {one}",
        "B": f"env_file {two}",
        "C": "env",
        "HOME": f"env_file {one}",
        "PATH": "hostler's own environment",
    }


async def test_what_stands_in_it_is_allowed_and_what_looks_secret_is_masked(
    tmp_path: Path, directories: Directories
) -> None:
    text = f"API_TOKEN={VALUE}\nURL=http://x/?k=the-host-s-own-secret\nPLACE=/some/where/else\nNODE_OPTIONS=--x\n"
    spec = staying(
        env_file=(EnvFile(private(tmp_path / ".env", text)),),
        plugins=(PluginSpec("env-sanitizer"),),
        command=(sys.executable, "-c", "import time; time.sleep(60)", "/some/where/else"),
    )
    given, spawned, heard = await start(spec, directories, HOST_API_KEY="the-host-s-own-secret")

    assert given["API_TOKEN"] == VALUE
    assert given["URL"] == "http://x/?k=the-host-s-own-secret"
    assert given["NODE_OPTIONS"] == "--x"
    assert (spawned.env["API_TOKEN"], spawned.env["PLACE"]) == ("********", "/some/where/else")
    assert VALUE not in repr(heard)


async def test_a_file_that_changed_is_taken_at_the_next_start(
    tmp_path: Path, directories: Directories
) -> None:
    file = private(tmp_path / ".env", "A=1\n")
    spawned: list[str] = []

    async with Supervisor(staying(env_file=(EnvFile(file),)), directories=directories) as supervisor:
        supervisor.listen(
            lambda event: spawned.append(event.env["A"]) if isinstance(event, Spawned) else None
        )
        await supervisor["fake"].wait_ready(20)
        private(file, "A=2\n")
        await supervisor["fake"].restart()

    assert spawned == ["1", "2"]


async def test_a_start_without_its_file_fails_with_its_name(tmp_path: Path, directories: Directories) -> None:
    with pytest.raises(EnvironmentSetupFailed) as caught:
        await start(staying(env_file=(EnvFile(tmp_path / ".env"),)), directories)
    assert caught.value.context.server == "fake"
    assert str(tmp_path / ".env") in str(caught.value)


@pytest.mark.parametrize(
    ("text", "mode", "warned"),
    [
        ("API_TOKEN=1\n", 0o644, True),
        ("DB=postgres://ada:sesame@db/x\n", 0o644, True),
        ("A=1\n", 0o646, True),
        ("A=1\n", 0o644, False),
        ("API_TOKEN=1\n", 0o640, False),
    ],
)
async def test_a_file_with_secrets_that_every_user_can_read_or_one_that_they_can_change_is_warned_of(
    tmp_path: Path, directories: Directories, text: str, mode: int, warned: bool
) -> None:
    file = private(tmp_path / ".env", text, mode=mode)
    _, _, heard = await start(staying(env_file=(EnvFile(file),)), directories)
    told = [event.text for event in heard if isinstance(event, Notice) and event.topic == "secret_exposed"]
    assert [str(file) in one for one in told] == [True] * warned


async def test_a_server_may_write_the_file_of_one_that_needs_it(
    tmp_path: Path, directories: Directories
) -> None:
    file = tmp_path / ".env"
    writes = f"import os; os.umask(0o77); open({str(file)!r}, 'w').write('A=made')"
    task = staying(name="task", command=(sys.executable, "-c", writes), kind=Kind.TASK)
    spawned: list[Spawned] = []
    spec = staying(env_file=(EnvFile(file),), needs=(Need("task", Condition.COMPLETED),))
    async with Supervisor([spec, task], directories=directories) as supervisor:
        supervisor.listen(lambda event: spawned.append(event) if isinstance(event, Spawned) else None)
        await supervisor["fake"].wait_ready(20)

    assert [event.env["A"] for event in spawned if event.server == "fake"] == ["made"]


# -- before a start --------------------------------------------------------------------------------


def seen_of(tmp_path: Path, **server: object) -> list[tuple[str, str, str]]:
    """What `hostler check` sees of a server and what it needs."""
    task = {"command": ["true"], "kind": "task"}
    table = {"servers": {"web": {"command": ["true"], **server}, "task": task}}
    directories = Directories(tmp_path / "state", tmp_path / "data", tmp_path / "cache")
    inspector = Inspector(
        from_dict(table, base=tmp_path, environ={}), directories, {"PATH": os.environ["PATH"]}
    )
    return [(seen.key, seen.severity, seen.message) for seen in inspector.observations()]


def test_check_finds_what_is_missing_or_wrong_before_a_start(tmp_path: Path) -> None:
    wrong = private(tmp_path / "wrong", "A=1\nzebra\n", mode=0o666)
    seen = seen_of(
        tmp_path,
        env_file=["missing", "wrong", {"path": "none", "optional": True}],
        env={"A": {"secret": "env:NOT_THERE"}, "B": "plain"},
    )

    assert [(key, weight) for key, weight, _ in seen] == [
        ("servers.web.env_file", "mistake"),
        ("servers.web.env_file", "mistake"),
        ("servers.web.env.A", "mistake"),
        ("servers.web", "warning"),
    ]
    assert f"{tmp_path}/missing cannot be read: there is no such file" in seen[0][2]
    assert f"{wrong}:2: a name without a value" in seen[1][2]
    assert "cannot read secret env:NOT_THERE" in seen[2][2]
    assert "chmod" in seen[3][2]


def test_what_a_needed_server_may_write_yet_is_only_warned_of(tmp_path: Path) -> None:
    seen = seen_of(tmp_path, env_file=".env", env={"A": {"secret": "file:made"}}, needs={"task": "completed"})

    assert [weight for _, weight, _ in seen] == ["warning", "warning"]


def test_nothing_is_said_of_what_is_there_for_its_user_alone(tmp_path: Path) -> None:
    private(tmp_path / ".env", "A=1\n")
    private(tmp_path / "held", "x\n")

    assert seen_of(tmp_path, env_file=".env", env={"A": {"secret": "file:held"}}) == []


def test_check_tells_where_a_reference_stays_as_it_is_and_what_is_no_utf_8(tmp_path: Path) -> None:
    private(tmp_path / ".env", "A='${HOME}'\nB=`${HOME}`\nC=$HOME\n\nD=${HOME}/x\n")
    (tmp_path / "wide").write_bytes("A=1\n".encode("utf-16"))
    (key, weight, message), (_, _, wide) = seen_of(tmp_path, env_file=[".env", "wide"])
    assert (key, weight) == ("servers.web.env_file", "warning")
    assert message.startswith(f"{tmp_path}/.env:5: ${{...}} stays as it is")
    assert "it is UTF-16: save it as UTF-8" in wide
