"""Users, groups, capabilities and limits of a child, and the tools that set them."""

import grp
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hostler.errors import EnvironmentSetupFailed
from hostler.model.launch import Launch
from hostler.process.spawn import privileges
from hostler.process.spawn.exits import ExitStatus

Start = Callable[..., Any]
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes the user")


async def status_inside(start: Start, **options: Any) -> dict[str, str]:
    text = await start("cat", "/proc/self/status", **options).text()
    return {name: value.strip() for name, value in (line.split(":", 1) for line in text.splitlines())}


@needs_root
async def test_a_child_runs_as_another_user_with_the_groups_of_that_user(
    start: Start, open_folder: Path
) -> None:
    status = await status_inside(start, user="nobody")

    assert status["Uid"].split() == [str(NOBODY)] * 4
    assert status["Gid"].split() == [str(NOBODY)] * 4
    assert status["Groups"].split() == [str(group) for group in os.getgrouplist("nobody", NOBODY)]
    assert int(status["CapEff"], 16) == 0


@needs_root
async def test_a_child_runs_with_another_group_alone(start: Start) -> None:
    status = await status_inside(start, group=grp.getgrgid(NOBODY).gr_name)

    assert status["Uid"].split() == ["0"] * 4
    assert status["Gid"].split() == [str(NOBODY)] * 4
    assert status["Groups"] == str(NOBODY)


@needs_root
async def test_a_child_runs_as_a_number_without_an_account(start: Start, open_folder: Path) -> None:
    status = await status_inside(start, user="54321", group="12345")

    assert status["Uid"].split() == ["54321"] * 4
    assert status["Gid"].split() == ["12345"] * 4
    assert status["Groups"] == "12345"


async def test_an_unknown_user_or_group_is_told(start: Start) -> None:
    with pytest.raises(EnvironmentSetupFailed, match="there is no user nobody-here"):
        start("true", user="nobody-here")
    with pytest.raises(EnvironmentSetupFailed, match="there is no group no-such-group") as caught:
        start("true", group="no-such-group")
    assert caught.value.permanent


@needs_root
async def test_a_program_that_the_other_user_may_not_run_is_told(start: Start, open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(0o700)
    (closed / "tool").write_text("#!/bin/sh\n")
    (closed / "tool").chmod(0o755)
    with pytest.raises(EnvironmentSetupFailed, match=f"user nobody may not execute {closed}/tool"):
        start(str(closed / "tool"), user="nobody")
    with pytest.raises(EnvironmentSetupFailed, match=f"user nobody may not enter {closed}"):
        start("true", user="nobody", cwd=closed)


@pytest.fixture
def not_root() -> Iterator[None]:
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)
    os.setegid(0)


@needs_root
@pytest.mark.usefixtures("not_root")
def test_only_root_may_become_another() -> None:
    with pytest.raises(EnvironmentSetupFailed, match="only root can run a server as root"):
        privileges.find_account("root", None)


@needs_root
@pytest.mark.usefixtures("not_root")
def test_to_be_who_one_is_needs_no_root() -> None:
    assert privileges.find_account("nobody", None) is None


@needs_root
async def test_a_limit_above_our_own_is_told_to_those_who_cannot_raise_it(
    launch: Callable[..., Launch], not_root: None
) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with pytest.raises(EnvironmentSetupFailed, match="above hostler's own"):
        privileges.build_prefix(launch("true", limits={"nofile": hard + 1}), None)
    assert "--nofile=16" in privileges.build_prefix(launch("true", limits={"nofile": 16}), None).argv


@needs_root
async def test_who_is_not_root_has_no_capabilities_to_hand_on(
    launch: Callable[..., Launch], not_root: None
) -> None:
    with pytest.raises(EnvironmentSetupFailed, match="only root can let a server keep net_raw"):
        privileges.build_prefix(launch("true", capabilities=frozenset({"net_raw"})), None)

    argv = privileges.build_prefix(launch("true", capabilities=frozenset()), None).argv
    assert "--inh-caps=-all" in argv
    assert not [word for word in argv if "bounding" in word], "which needs a capability itself"

    with pytest.raises(
        EnvironmentSetupFailed, match="only root can run a server as a member of other groups"
    ):
        privileges.find_account(None, None, ["daemon"])


@needs_root
async def test_capabilities_are_dropped_but_for_those_that_are_kept(start: Start) -> None:
    status = await status_inside(start, capabilities=frozenset({"net_raw"}))
    assert {int(status[f"Cap{name}"], 16) for name in ("Eff", "Prm", "Bnd")} == {1 << 13}


@needs_root
async def test_supplementary_groups_can_be_chosen_without_another_user(start: Start) -> None:
    status = await status_inside(start, groups=("daemon", "4321"))
    assert set(status["Groups"].split()) == {"1", "4321"}
    assert status["Uid"].split() == ["0"] * 4


async def test_the_umask_is_the_one_of_the_launch(start: Start) -> None:
    assert (await status_inside(start, umask=0o037))["Umask"] == "0037"
    assert (await status_inside(start))["Umask"] != "0037"


async def test_a_wrapper_runs_the_command_after_all_privileges_are_gone(start: Start) -> None:
    child = start(
        "sh",
        "-c",
        "ulimit -n",
        wrapper=["/bin/sh", "-c", 'ulimit -n; exec "$@"', "sh"],
        limits={"nofile": 71},
    )
    program, *rest = (await child.text()).split()
    assert (program, rest) == ("71", ["71"])


async def test_limits_are_applied(start: Start) -> None:
    child = start("sh", "-c", "ulimit -n; ulimit -Hn; ulimit -c", limits={"nofile": 77, "core": 0})

    assert (await child.text()).split() == ["77", "77", "0"]


@needs_root
async def test_limits_apply_together_with_another_user(start: Start, open_folder: Path) -> None:
    child = start("sh", "-c", "ulimit -n; id -u", limits={"nofile": 88}, user="nobody")

    assert (await child.text()).split() == ["88", str(NOBODY)]


@pytest.mark.skipif(
    not privileges._has_capability(privileges._CAP_SYS_RESOURCE)
    or resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] < 0,
    reason="needs CAP_SYS_RESOURCE, and a limit to raise",
)
async def test_a_limit_can_be_raised_by_those_who_may(start: Start) -> None:
    hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    child = start("sh", "-c", "ulimit -l", limits={"memlock": hard + 4096})

    assert await child.text() == f"{hard // 1024 + 4}\n"


async def test_an_unknown_limit_is_told(start: Start) -> None:
    with pytest.raises(EnvironmentSetupFailed, match="limit colour = 3 is not known"):
        start("true", limits={"colour": 3})


@pytest.mark.parametrize("wanted", [True, False])
async def test_new_privileges_are_refused_unless_allowed(start: Start, wanted: bool) -> None:
    assert (await status_inside(start, no_new_privileges=wanted))["NoNewPrivs"] == str(int(wanted))


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place where the tools are looked for: another system's, in small."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setattr(privileges, "_TOOL_PATH", str(folder))
    return folder


@needs_root
async def test_missing_tools_are_named_and_done_without(start: Start, tools: Path, open_folder: Path) -> None:
    child = start("sh", "-c", "id -u; id -g", limits={"nofile": 64}, user="nobody")

    assert child.process.missing_tools == ("prlimit", "setpriv")
    assert (await child.text()).split() == [str(NOBODY), str(NOBODY)]


async def test_the_tools_of_busybox_count_as_missing(start: Start, tools: Path) -> None:
    (tools / "busybox").write_text("#!/bin/sh\nexit 1\n")
    (tools / "busybox").chmod(0o755)
    (tools / "setpriv").symlink_to("busybox")
    child = start("true")

    assert child.process.missing_tools == ("setpriv",)
    assert await child.process.wait() == ExitStatus(code=0)


async def test_a_tool_that_lacks_an_option_counts_as_missing(start: Start, tools: Path) -> None:
    (tools / "setpriv").write_text("#!/bin/sh\nexit 1\n")
    (tools / "setpriv").chmod(0o755)
    child = start("true")

    assert child.process.missing_tools == ("setpriv",)
    assert await child.process.wait() == ExitStatus(code=0)
