"""Secrets that are told by where they are: read anew at each start, given to the child, shown nowhere."""

from __future__ import annotations

import os
import pickle
import sys
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
from child_environment import environment_of
from hostler import (
    Directories,
    EnvironmentSetupFailed,
    Event,
    Launch,
    Notice,
    PluginSpec,
    Secret,
    Server,
    ServerSpec,
    Spawned,
    State,
    Supervisor,
    hookimpl,
)
from specs import QUICK, MakeSpec

VALUE = "sesame-open-sesame"
OTHER = "another-word-entirely"


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """A file with a secret that only its user can read."""
    file = tmp_path / "held"
    file.touch(mode=0o600)
    file.write_text(f"{VALUE}\n")
    return file


def printing(*names: str, **fields: object) -> ServerSpec:
    """A server without a port that says whether these variables hold what they should, and stays."""
    code = "import os, sys, time; print(*map(os.environ.get, sys.argv[1:]), flush=True); time.sleep(60)"
    given: dict[str, object] = {
        "command": (sys.executable, "-c", code, *names),
        "port": None,
        "restart": QUICK,
    }
    return ServerSpec(name="fake", **(given | fields))  # type: ignore[arg-type]


def rotate(file: Path) -> None:
    file.write_text(OTHER)


# -- the value -------------------------------------------------------------------------------------


def test_a_secret_knows_its_source_alone(held: Path) -> None:
    secret = Secret(f"file:{held}")
    assert secret.read() == VALUE

    assert VALUE not in repr(secret)
    assert VALUE.encode() not in pickle.dumps(secret)
    assert pickle.loads(pickle.dumps(secret)) == secret == Secret(f"file:{held}")
    assert secret != Secret("env:X")
    assert {secret, Secret(f"file:{held}")} == {secret}


@pytest.mark.parametrize("source", ["", "X", "env:", "file:", "vault:X", "file:a\0b", "env:A=B", VALUE])
def test_another_form_is_refused_and_not_repeated(source: str) -> None:
    with pytest.raises(ValueError, match='^expected "env:NAME" or "file:PATH"$'):
        Secret(source)


def test_a_variable_is_looked_up_when_it_is_read() -> None:
    environ = {"A": VALUE}
    secret = Secret("env:A")

    assert secret.read(environ) == VALUE
    environ["A"] = OTHER
    assert secret.read(environ) == OTHER


def test_the_environment_of_the_program_is_where_variables_are_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_SECRET_OF_MINE", VALUE)
    assert Secret("env:A_SECRET_OF_MINE").read() == VALUE
    monkeypatch.delenv("A_SECRET_OF_MINE")
    with pytest.raises(EnvironmentSetupFailed) as caught:
        Secret("env:A_SECRET_OF_MINE").read()
    assert not caught.value.permanent  # the program may set it yet


@pytest.mark.parametrize(
    ("environ", "reason"), [({}, "there is no such environment variable"), ({"A": ""}, "it is empty")]
)
def test_a_variable_that_is_missing_cannot_come_into_a_fixed_environment(
    environ: dict[str, str], reason: str
) -> None:
    with pytest.raises(EnvironmentSetupFailed) as caught:
        Secret("env:A").read(environ)
    assert caught.value.message == f"cannot read secret env:A: {reason}"
    assert caught.value.permanent


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a b\n", "a b"),
        ("a\r\n", "a"),
        ("a\n\n", "a\n"),
        (" a ", " a "),
        ("one\ntwo\n", "one\ntwo"),
        ("\ufeffa", "a"),
        ("x" * 65536, "x" * 65536),
    ],
)
def test_one_newline_at_the_end_is_no_part_of_it(tmp_path: Path, written: str, read: str) -> None:
    (tmp_path / "held").write_bytes(written.encode())

    assert Secret(f"file:{tmp_path}/held").read() == read


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (b"", "it is empty"),
        (b"\n", "it is empty"),
        (b"x" * 65537, "it is larger than 64 KiB"),
        (b"sesame\0open", "it contains a NUL character, which no variable can hold"),
        (b"sesame\xff", "it is not UTF-8"),
    ],
)
def test_what_no_variable_can_hold_is_refused_without_being_shown(
    tmp_path: Path, written: bytes, reason: str
) -> None:
    file = tmp_path / "held"
    file.write_bytes(written)
    with pytest.raises(EnvironmentSetupFailed) as caught:
        Secret(f"file:{file}").read()
    assert caught.value.message == f"cannot read secret file:{file}: {reason}"
    assert caught.value.__cause__ is None
    assert not caught.value.permanent


def test_what_is_no_plain_file_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")

    for name, reason in {
        "pipe": "it is a named pipe",
        ".": "Is a directory",
        "missing": "there is no such file",
        "loop": "Too many levels of symbolic links",
    }.items():
        with pytest.raises(EnvironmentSetupFailed, match=reason):
            Secret(f"file:{tmp_path / name}").read()


def test_a_file_at_home_or_in_the_current_folder_can_be_named_from_python(
    held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(held.parent))
    monkeypatch.chdir(held.parent)

    assert Secret("file:~/held").read() == Secret("file:held").read() == VALUE


# -- in a server -----------------------------------------------------------------------------------


async def test_the_child_gets_the_values_and_nobody_else_hears_of_them(
    held: Path, directories: Directories
) -> None:
    env = {"PLAIN": Secret(f"file:{held}"), "PIN": Secret("env:PIN"), "PORT": "$${server.port}"}
    heard: list[Event] = []
    lines: list[str] = []

    async with Supervisor(
        printing("PLAIN", "PIN", env=env),
        directories=directories,
        environ={"PATH": os.environ["PATH"], "PIN": "1234"},
    ) as supervisor:
        supervisor.listen(heard.append)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_take_line, supervisor["fake"], lines)
        given = await environment_of(supervisor["fake"])

    spawned = next(event for event in heard if isinstance(event, Spawned))
    assert (given["PLAIN"], given["PIN"], given["PORT"]) == (VALUE, "1234", "${server.port}")
    assert (spawned.env["PLAIN"], spawned.env["PIN"]) == ("********", "********")
    assert (spawned.origins["PLAIN"], spawned.origins["PIN"]) == ("env", "env")
    assert lines == ["******** 1234"]  # so short a word would stain every line, if it were masked in all
    assert VALUE not in repr(heard) + repr([event.as_dict() for event in heard])


async def _take_line(server: Server, into: list[str]) -> None:
    async for line in server.lines():
        into.append(line.text)
        return


async def test_a_file_that_was_rotated_and_a_variable_that_changed_are_taken_at_the_next_start(
    held: Path, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHANGING", VALUE)
    spec = printing(env={"A": Secret(f"file:{held}"), "B": Secret("env:CHANGING")})
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        first = await environment_of(server)
        rotate(held)
        monkeypatch.setenv("CHANGING", OTHER)
        await server.restart()
        await server.wait_ready(20)
        second = await environment_of(server)

    assert (first["A"], first["B"]) == (VALUE, VALUE)
    assert (second["A"], second["B"]) == (OTHER, OTHER)


async def test_a_secret_that_is_missing_is_told_with_server_variable_and_source(
    tmp_path: Path, directories: Directories
) -> None:
    spec = printing(env={"TOKEN": Secret(f"file:{tmp_path}/missing")})
    async with Supervisor(spec, directories=directories) as supervisor:
        with pytest.raises(EnvironmentSetupFailed) as caught:
            await supervisor["fake"].start()
        assert supervisor["fake"].generation == 2  # a file may come: it was tried again

    error = caught.value
    assert error.message == (
        f"its variable TOKEN: cannot read secret file:{tmp_path}/missing: there is no such file"
    )
    assert error.context.server == "fake"
    assert error.context.details["variable"] == "TOKEN"


async def test_what_takes_longer_than_the_time_for_preparing_fails_the_start(
    held: Path, directories: Directories
) -> None:
    spec = printing(env={"A": Secret(f"file:{held}")}, prepare_timeout=1e-9)  # over before it is read
    async with Supervisor(spec, directories=directories) as supervisor:
        with pytest.raises(EnvironmentSetupFailed, match="took longer than prepare_timeout"):
            await supervisor["fake"].start()


async def test_a_variable_that_can_never_come_is_not_waited_for(directories: Directories) -> None:
    spec = printing(env={"TOKEN": Secret("env:NOT_THERE")})
    environ = {"PATH": os.environ["PATH"]}
    async with Supervisor(spec, directories=directories, environ=environ) as supervisor:
        with pytest.raises(EnvironmentSetupFailed, match="cannot read secret env:NOT_THERE"):
            await supervisor["fake"].start()
        assert supervisor["fake"].generation == 1
        assert supervisor["fake"].state is State.FAILED


@pytest.fixture
def exposed(held: Path) -> Path:
    """The same, but everybody can read it."""
    held.chmod(0o644)
    return held


async def test_a_file_that_every_user_can_read_is_warned_of(exposed: Path, directories: Directories) -> None:
    held = exposed
    notices: list[Notice] = []

    async with Supervisor(
        printing(env={"A": Secret(f"file:{held}"), "B": Secret(f"file:{held}")}), directories=directories
    ) as supervisor:
        supervisor.listen(lambda event: notices.append(event) if isinstance(event, Notice) else None)
        await supervisor["fake"].wait_ready(20)

    (notice,) = (notice for notice in notices if notice.topic == "secret_exposed")
    assert notice.level == "warning"
    assert notice.text == f"every user of this machine may read or change {held}: chmod o-rwx {held}"


async def test_a_secret_in_the_command_line_is_refused(held: Path, directories: Directories) -> None:
    spec = printing(VALUE, env={"A": Secret(f"file:{held}")})
    async with Supervisor(spec, directories=directories) as supervisor:
        with pytest.raises(EnvironmentSetupFailed, match="command line would show a secret"):
            await supervisor["fake"].start()


@dataclass(eq=False)
class Licensed:
    """A plugin with a secret among its options."""

    licence: Secret | None = None
    words: list[str | Secret] = field(default_factory=list)

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        secrets = [word for word in (self.licence, *self.words) if isinstance(word, Secret)]
        launch.env["COUNT"] = str(len(secrets))
        for number, secret in enumerate(secrets):
            launch.set_secret(f"LICENCE_{number}", launch.read_secret(secret))


async def test_an_option_that_is_a_secret_is_read_and_masked_when_the_plugin_asks(
    held: Path, make_spec: MakeSpec, directories: Directories
) -> None:
    options = {
        "licence": {"secret": f"file:{held}"},
        "words": ["plain", {"secret": "env:W"}, Secret("env:W")],
    }
    plugin = PluginSpec("licensed", options, use=f"{__file__}:Licensed")
    heard: list[Event] = []

    async with Supervisor(
        printing(plugins=(plugin,)), directories=directories, environ={"PATH": os.environ["PATH"], "W": OTHER}
    ) as supervisor:
        supervisor.listen(heard.append)
        await supervisor["fake"].wait_ready(20)
        given = await environment_of(supervisor["fake"])
        supervisor["fake"]._engine.notice("leak", f"{VALUE} {OTHER}")

    assert [given[name] for name in ("COUNT", "LICENCE_0", "LICENCE_1", "LICENCE_2")] == [
        "3",
        VALUE,
        OTHER,
        OTHER,
    ]
    (spawned,) = (event for event in heard if isinstance(event, Spawned))
    assert spawned.origins["COUNT"] == spawned.origins["LICENCE_0"] == "plugin licensed"
    assert [event.text for event in heard if isinstance(event, Notice)][-1] == "******** ********"
    assert VALUE not in repr(heard)


async def test_a_secret_of_an_option_that_misses_fails_the_start(directories: Directories) -> None:
    plugin = PluginSpec("licensed", {"licence": {"secret": "env:NOT_THERE"}}, use=f"{__file__}:Licensed")
    environ = {"PATH": os.environ["PATH"]}
    async with Supervisor(
        printing(plugins=(plugin,)), directories=directories, environ=environ
    ) as supervisor:
        with pytest.raises(EnvironmentSetupFailed, match="cannot read secret env:NOT_THERE") as caught:
            await supervisor["fake"].start()
    assert caught.value.context.server == "fake"
