"""What privileges takes from a real server, read from the kernel, and how it says what cannot be had."""

from __future__ import annotations

import grp
import os
import pwd
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hostler import (
    Directories,
    EnvironmentSetupFailed,
    Launch,
    PluginSpec,
    RestartPolicy,
    ServerSpec,
    State,
    Supervisor,
)
from hostler.plugins.options import build
from launches import a_launch

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users and capabilities")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")

ONCE = RestartPolicy(start_retries=0)
NET_BIND = 1 << 10


def a_sleeper(*, env: dict[str, str] | None = None, **options: object) -> ServerSpec:
    return ServerSpec(
        name="sleeper",
        command=("/bin/sh", "-c", 'umask; printf "%s " "$HOME" "$USER" "$TMPDIR"; echo; exec sleep 300'),
        cwd=Path("/"),
        port=None,
        env=env or {},
        restart=ONCE,
        plugins=(PluginSpec("privileges", options),),
    )


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return a_launch(tmp_path, server="sleeper")


@asynccontextmanager
async def running(spec: ServerSpec, directories: Directories) -> AsyncIterator[tuple[int, list[str]]]:
    """The pid of the server, and the two lines that it printed."""
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["sleeper"]
        lines = server.lines()
        await server.wait_ready(20)
        said = [(await anext(lines)).text, (await anext(lines)).text]
        assert server.pid is not None
        yield server.pid, said


def status(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/status").read_text()
    return dict(re.findall(r"^(\w+):[ \t]*(.*)$", text, re.MULTILINE))


def limits_of(pid: int) -> str:
    return Path(f"/proc/{pid}/limits").read_text()


def capabilities(pid: int) -> dict[str, int]:
    found = status(pid)
    return {name: int(found[f"Cap{name}"], 16) for name in ("Eff", "Prm", "Inh", "Bnd", "Amb")}


NONE = {"Eff": 0, "Prm": 0, "Inh": 0, "Bnd": 0, "Amb": 0}


@needs_root
@needs_linux
async def test_by_default_a_server_of_root_has_no_capability_and_no_way_to_get_one(
    directories: Directories,
) -> None:
    async with running(a_sleeper(), directories) as (pid, _):
        assert capabilities(pid) == NONE
        assert status(pid)["NoNewPrivs"] == "1"
        assert status(pid)["Uid"].split() == ["0"] * 4


@needs_root
@needs_linux
async def test_a_server_runs_as_another_user_with_the_home_and_groups_of_that_user(
    directories: Directories,
) -> None:
    nobody = pwd.getpwnam("nobody")
    async with running(a_sleeper(user="nobody"), directories) as (pid, said):
        found = status(pid)
        assert found["Uid"].split() == [str(nobody.pw_uid)] * 4
        assert found["Gid"].split() == [str(nobody.pw_gid)] * 4
        assert set(found["Groups"].split()) == set(map(str, os.getgrouplist("nobody", nobody.pw_gid)))
        assert said[1].split() == [nobody.pw_dir, "nobody"], "and no TMPDIR of ours"
        assert capabilities(pid) == NONE


@needs_root
async def test_what_env_says_about_the_home_stays(directories: Directories) -> None:
    spec = a_sleeper(user="nobody", env={"HOME": "/srv", "TMPDIR": "/var/tmp"})
    async with running(spec, directories) as (_, said):
        assert said[1].split() == ["/srv", "nobody", "/var/tmp"]


@needs_root
async def test_a_number_is_a_user_without_a_home(directories: Directories) -> None:
    async with running(a_sleeper(user="54321", group="54322"), directories) as (pid, said):
        assert status(pid)["Uid"].split() == ["54321"] * 4
        assert status(pid)["Gid"].split() == ["54322"] * 4
        assert said[1].split() == []


@pytest.fixture
def groups_of_ours() -> Iterator[set[int]]:
    """Supplementary groups of hostler itself, which no server is to keep."""
    before, ours = os.getgroups(), {23456, 23457}
    os.setgroups([*ours])
    yield ours
    os.setgroups(before)


@needs_root
@pytest.mark.parametrize(("groups", "expected"), [([], set()), (["daemon", "12345"], {"daemon", "12345"})])
async def test_supplementary_groups_are_those_that_are_named(
    groups: list[str], expected: set[str], directories: Directories, groups_of_ours: set[int]
) -> None:
    async with running(a_sleeper(user="nobody", groups=groups), directories) as (pid, _):
        numbers = {name if name.isdecimal() else str(grp.getgrnam(name).gr_gid) for name in expected}
        assert set(status(pid)["Groups"].split()) == numbers, f"and none of {groups_of_ours}"


@needs_root
@needs_linux
@pytest.mark.parametrize("user", [None, "nobody"])
@pytest.mark.parametrize("name", ["net_bind_service", "CAP_NET_BIND_SERVICE"])
async def test_a_capability_that_is_kept_is_the_only_one(
    name: str, user: str | None, directories: Directories
) -> None:
    async with running(a_sleeper(user=user, capabilities=[name]), directories) as (pid, _):
        found = capabilities(pid)
        assert found["Eff"] == found["Bnd"] == NET_BIND


@needs_root
@needs_linux
@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="needs a Python that every user may run")
async def test_a_user_with_the_capability_can_use_it(directories: Directories) -> None:
    program = "import socket,time; socket.socket().bind(('127.0.0.1', 81)); print('bound'); time.sleep(300)"

    for kept, bound in ((["net_bind_service"], True), ([], False)):
        spec = ServerSpec(
            name="sleeper",
            command=("/usr/bin/python3", "-u", "-c", program),
            cwd=Path("/"),
            port=None,
            restart=RestartPolicy(start_retries=0, max_restarts=0),
            plugins=(PluginSpec("privileges", {"user": "nobody", "capabilities": kept}),),
        )
        async with Supervisor(spec, directories=directories) as supervisor:
            lines = supervisor["sleeper"].lines()
            first = await anext(lines)
            assert (first.text == "bound") is bound, first


async def test_the_umask_and_the_limits_are_those_that_are_asked_for(directories: Directories) -> None:
    spec = a_sleeper(umask="027", rlimits={"nofile": 99, "core": 0})
    async with running(spec, directories) as (pid, said):
        assert said[0] == "0027"
        assert status(pid)["Umask"] == "0027"
        limits = limits_of(pid)
        assert re.search(r"Max open files\s+99\s+99\s", limits)
        assert re.search(r"Max core file size\s+0\s+0\s", limits)


@needs_linux
async def test_new_privileges_can_be_allowed(directories: Directories) -> None:
    async with running(a_sleeper(no_new_privileges=False), directories) as (pid, _):
        assert status(pid)["NoNewPrivs"] == "0"


@needs_root
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"user": "no-such-user"}, "there is no user no-such-user"),
        ({"group": "no-such-group"}, "there is no group no-such-group"),
        ({"groups": ["no-such-group"]}, "there is no group no-such-group"),
    ],
)
async def test_who_does_not_exist_is_told_before_anything_is_started(
    options: dict[str, Any], message: str, directories: Directories
) -> None:
    async with Supervisor(a_sleeper(**options), directories=directories) as supervisor:
        with pytest.raises(EnvironmentSetupFailed, match=message) as caught:
            await supervisor["sleeper"].wait_ready(20)
        assert caught.value.permanent
        assert supervisor["sleeper"].state is State.FAILED
        assert supervisor["sleeper"].generation == 1

    plugin: Any = build(PluginSpec("privileges", options))
    (problem,) = plugin.check(None, None)
    assert message in problem


@contextmanager
def not_root() -> Iterator[None]:
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@needs_root
@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({"user": "root"}, ["only root can run a server as root: run hostler as root, or remove user"]),
        ({"user": "daemon"}, ["only root can run a server as daemon: run hostler as root, or remove user"]),
        ({"group": "daemon"}, ["only root can run a server as daemon: "]),
        ({"groups": []}, ["only root can set groups: "]),
        ({"capabilities": ["net_raw"]}, ["only root can let a server keep net_raw: keep no capabilities"]),
        ({"user": "nobody"}, []),
        ({"umask": "077"}, []),
    ],
)
def test_who_is_not_root_is_told_what_only_root_can_do_and_nothing_else(
    options: dict[str, Any], problems: list[str], launch: Launch
) -> None:
    plugin: Any = build(PluginSpec("privileges", options))
    with not_root():
        found = list(plugin.check(ServerSpec(name="sleeper"), launch))
    assert len(found) == len(problems)
    assert all(text.startswith(problem) for text, problem in zip(found, problems, strict=True))


def test_a_user_without_an_account_may_run_a_server_as_itself_only(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)  # as in a container that is given a number
    found = {}

    for user in ("54321", "54322"):
        plugin: Any = build(PluginSpec("privileges", {"user": user}))
        found[user] = list(plugin.check(ServerSpec(name="sleeper"), launch))

    assert found["54321"] == []
    assert found["54322"] == [
        "only root can run a server as 54322: run hostler as root, or remove user, group and groups"
    ]
