"""What an OpenCode gets to live in, and what is found out before it is spawned."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostler import Auth, EnvironmentSetupFailed, Launch
from hostler_plugins.opencode import OpenCode, environment, passwords
from opencode_context import Context, a_launch, clean_up

root_only = pytest.mark.skipif(os.getuid() != 0, reason="mounting a file system needs root")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "opencode"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\necho 1.18.34\n")
    path.chmod(0o755)
    return path


async def prepared(view: Context, program: Path, **options: object) -> Launch:
    launch = a_launch(view)
    launch.env |= {"OPENCODE": "1", "OPENCODE_PID": "5", "AGENT": "1"} | dict(view.env)
    try:
        await OpenCode(binary=program, **options).pre_spawn(view, launch)  # type: ignore[arg-type]
    finally:
        clean_up(launch)
    return launch


async def test_a_server_is_told_not_to_update_itself_and_who_started_it(view: Context, program: Path) -> None:
    env = (await prepared(view, program)).env
    assert env["OPENCODE_DISABLE_AUTOUPDATE"] == "1"
    assert env["BUN_FEATURE_FLAG_NO_ORPHANS"] == "1"
    assert env["OPENCODE_CLIENT"] == "hostler"
    assert not {"OPENCODE", "OPENCODE_PID", "AGENT"} & set(env)
    assert "OPENCODE_DISABLE_MODELS_FETCH" not in env


async def test_offline_sets_the_three_variables(view: Context, program: Path) -> None:
    env = (await prepared(view, program, offline=True, client="cli")).env
    offline = (
        "OPENCODE_DISABLE_MODELS_FETCH",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS",
        "OPENCODE_DISABLE_LSP_DOWNLOAD",
    )
    assert [env[name] for name in offline] == ["1", "1", "1"]
    assert env["OPENCODE_CLIENT"] == "cli"


async def test_what_the_user_set_wins(view: Context, program: Path) -> None:
    view.env = {
        "OPENCODE_DISABLE_AUTOUPDATE": "0",
        "OPENCODE_CLIENT": "mine",
        "TMPDIR": str(view.root),
        "AGENT": "mine",
        "OPENCODE_SERVER_PASSWORD": "given-by-the-user",
        "OPENCODE_SERVER_USERNAME": "me",
    }
    launch = await prepared(view, program)
    assert {name: launch.env[name] for name in view.env} == dict(view.env)
    assert launch.facts["auth"] == Auth("me", "given-by-the-user")
    assert "OPENCODE_SERVER_PASSWORD" in launch.allowed


async def test_an_empty_password_of_the_user_asks_for_none(view: Context, program: Path) -> None:
    view.env = {"OPENCODE_SERVER_PASSWORD": ""}
    launch = await prepared(view, program)
    assert "OPENCODE_SERVER_PASSWORD" not in launch.env
    assert "auth" not in launch.facts


async def test_the_password_is_random_and_stays_over_restarts(view: Context, program: Path) -> None:
    plugin, other = OpenCode(binary=program), OpenCode(binary=program)
    seen = []

    for one in (plugin, plugin, other):
        launch = a_launch(view)
        await one.pre_spawn(view, launch)
        clean_up(launch)
        seen.append(launch.secrets["OPENCODE_SERVER_PASSWORD"])

    assert seen[0] == seen[1] != seen[2]
    assert len(seen[0]) >= 32
    assert seen[0] not in repr(plugin)
    assert view.published["OPENCODE_SERVER"] == "${server.url}"
    assert view.published["OPENCODE_SERVER_PASSWORD"] == seen[2]
    assert view.published["OPENCODE_SERVER_USERNAME"] == "opencode"
    assert view.redacted == seen


async def test_the_password_of_a_server_that_is_needed_is_not_taken_over(
    view: Context, program: Path
) -> None:
    launch = a_launch(view, OPENCODE_SERVER_PASSWORD="of-another", OPENCODE_SERVER_USERNAME="other")
    await OpenCode(binary=program).pre_spawn(view, launch)
    clean_up(launch)
    auth = launch.facts["auth"]
    assert isinstance(auth, Auth)
    assert auth.password != "of-another"
    assert launch.env["OPENCODE_SERVER_USERNAME"] == auth.user == "opencode"


async def test_options_win_over_what_the_version_says(view: Context, program: Path) -> None:
    launch = await prepared(view, program, health_path="/mine", profile="next")
    assert launch.facts["health_path"] == "/mine"
    assert (view.root / "home" / ".local" / "state" / "opencode" / "password").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"binary": Path("a"), "source": Path("b")}, "source: "),
        ({"version": "latest"}, "version: "),
        ({"version": "../1.2.3"}, "version: "),
        ({"health_path": "event"}, "health_path: "),
    ],
)
def test_options_that_cannot_be_right_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OpenCode(**options)  # type: ignore[arg-type]


def mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "ro", "ro")


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "full", "size=256k")


@root_only
async def test_a_home_that_cannot_be_written_is_told_before_the_spawn(
    view: Context, program: Path, read_only: Path
) -> None:
    view.env = {"HOME": str(read_only)}
    with pytest.raises(EnvironmentSetupFailed, match="cannot be written") as caught:
        await prepared(view, program)
    assert caught.value.permanent
    assert str(read_only) in str(caught.value)


@root_only
async def test_the_four_folders_may_lie_elsewhere(view: Context, program: Path, read_only: Path) -> None:
    kinds = ("DATA", "CONFIG", "STATE", "CACHE")
    view.env = {"HOME": str(read_only)} | {f"XDG_{kind}_HOME": str(view.root / kind) for kind in kinds}
    assert (await prepared(view, program)).argv


@root_only
async def test_a_full_disk_is_told_and_not_permanent(view: Context, program: Path, full: Path) -> None:
    view.env = {"XDG_DATA_HOME": str(full)}
    with pytest.raises(EnvironmentSetupFailed, match="is full") as caught:
        await prepared(view, program)
    assert not caught.value.permanent


async def test_a_file_in_the_place_of_a_folder_is_told(view: Context, program: Path) -> None:
    (view.root / "file").touch()
    view.env = {"XDG_STATE_HOME": str(view.root / "file" / "deeper")}
    with pytest.raises(EnvironmentSetupFailed, match="cannot be written"):
        await prepared(view, program)


@root_only
def test_a_temporary_folder_that_cannot_be_made_is_told(
    view: Context, read_only: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostler.launching.tempdir._SHORT", str(read_only))
    monkeypatch.setattr("tempfile.tempdir", str(read_only))
    with pytest.raises(EnvironmentSetupFailed, match="no temporary folder") as caught:
        environment.give_private_tmpdir(a_launch(view))
    assert caught.value.permanent


@root_only
def test_what_is_made_for_another_user_belongs_to_that_user(view: Context) -> None:
    launch = a_launch(view)
    launch.user, launch.group = "nobody", "nogroup"
    environment.give_private_tmpdir(launch)
    owner = Path(launch.env["TMPDIR"]).stat().st_uid
    clean_up(launch)
    assert owner == pwd.getpwnam("nobody").pw_uid


@pytest.fixture
def becoming(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda uid: monkeypatch.setattr(os, "getuid", lambda: uid)


def test_without_home_the_one_of_the_user_is_meant(becoming: Callable[[int], None]) -> None:
    becoming(0)  # who has an account everywhere
    assert environment.home_of({}) == Path(pwd.getpwuid(0).pw_dir)


def test_a_user_without_home_and_account_is_told_to_set_one(becoming: Callable[[int], None]) -> None:
    becoming(54321)
    with pytest.raises(EnvironmentSetupFailed, match="user 54321 has no account") as caught:
        environment.own_folder({}, "XDG_DATA_HOME")
    assert caught.value.permanent
    assert "HOME" in caught.value.context.hint


def password_file(view: Context) -> Path:
    return view.root / "home" / ".local" / "state" / "opencode" / "password"


async def test_a_password_file_is_made_for_the_user_alone_and_used_from_then_on(view: Context) -> None:
    os.umask(0o000)

    try:
        first = await passwords.hand_by_file(view, a_launch(view), {}, "first-secret")
    finally:
        os.umask(0o022)

    second = await passwords.hand_by_file(view, a_launch(view), {}, "second-secret")
    assert (first.password, second.password) == ("first-secret", "first-secret")
    assert stat.S_IMODE(password_file(view).stat().st_mode) == 0o600
    assert stat.S_IMODE(password_file(view).parent.stat().st_mode) == 0o700
    assert [path.name for path in password_file(view).parent.iterdir()] == ["password"]


async def test_an_empty_password_file_is_replaced_and_a_configured_password_goes_into_it(
    view: Context,
) -> None:
    launch = a_launch(view, OPENCODE_SERVER_PASSWORD="of-the-user")
    password_file(view).parent.mkdir(parents=True)
    password_file(view).touch()
    assert (await passwords.hand_by_file(view, launch, launch.env, "own")).password == "of-the-user"
    assert password_file(view).read_text() == "of-the-user"


async def test_of_two_that_make_the_password_file_at_once_both_use_the_one_that_is_there(
    view: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = view.create_file

    async def after_another(path: Path, text: str) -> bool:
        assert await create(path, "of-the-other")
        return await create(path, text)

    monkeypatch.setattr(view, "create_file", after_another)
    launch = a_launch(view)
    assert (await passwords.hand_by_file(view, launch, {}, "own-secret")).password == "of-the-other"
    assert launch.env["OPENCODE_SERVER_PASSWORD"] == "of-the-other"


async def test_a_password_file_that_cannot_be_read_is_told(view: Context) -> None:
    password_file(view).mkdir(parents=True)
    launch = a_launch(view)
    with pytest.raises(EnvironmentSetupFailed, match="password file") as caught:
        await passwords.hand_by_file(view, launch, {}, "own")
    assert caught.value.permanent
