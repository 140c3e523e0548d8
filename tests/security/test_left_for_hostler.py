"""What a server in a sandbox leaves, or makes where nothing was, is not what hostler works with outside."""

from __future__ import annotations

import os
import site
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from bubblewrap import needs_bwrap
from hostler import Configuration, Directories, EnvFile, Notice, PluginSpec, ServerError, Supervisor
from hostler_plugins.log_rotation.file import RotatedFile
from hostler_plugins.opencode.registries import tool_env
from launches import a_launch
from sandboxed_projects import boxed, folder, run_to_exit, seen

__all__ = ["folder", "seen"]

pytestmark = needs_bwrap
HOME = PluginSpec("sandbox", {"writable": ["~"]})
PLANT = """
mkdir -p $(dirname $1) && echo evil > $1
mv $1 moved; mv $(dirname $1) $1.moved; ln -sf $2 $1
touch done
"""


async def planted(folder: Path, file: Path, directories: Directories, seen: list[Notice]) -> None:
    """Have a server in a sandbox do all it can to make a file in a folder that it may write to."""
    (folder / "elsewhere").write_text("evil\n")
    command = ("/bin/sh", "-c", PLANT, "sh", str(file), str(folder / "elsewhere"))
    spec = replace(boxed(folder, command=command), plugins=(HOME,))
    await run_to_exit(spec, directories, seen)
    assert (folder / "project" / "done").exists()


@pytest.mark.parametrize("name", [".npmrc", ".bunfig.toml"])
async def test_a_server_that_may_write_to_the_home_folder_does_not_choose_where_programs_come_from(
    name: str, folder: Path, directories: Directories, seen: list[Notice]
) -> None:
    file = folder / "home" / name
    await planted(folder, file, directories, seen)
    assert file.read_bytes() == b""
    assert not file.is_symlink()
    assert any(notice.topic == "sandbox_home" for notice in seen)


async def test_a_server_does_not_make_the_folder_that_python_imports_from(
    folder: Path, directories: Directories, seen: list[Notice], monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = folder / "home" / "lib" / "site-packages"
    monkeypatch.setattr(site, "ENABLE_USER_SITE", True)
    monkeypatch.setattr(site, "getusersitepackages", lambda: str(packages))
    await planted(folder, packages / "usercustomize.py", directories, seen)
    assert list(packages.iterdir()) == []


async def test_a_folder_that_python_imports_from_and_the_server_may_write_to_is_told(
    folder: Path, directories: Directories, seen: list[Notice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder / "lib"))
    wanted = PluginSpec("sandbox", {"writable": [str(folder / "lib")]})
    spec = replace(boxed(folder, command=("/bin/true",)), plugins=(wanted,))
    await run_to_exit(spec, directories, seen)
    (told,) = [notice.text for notice in seen if notice.topic == "sandbox_import_path"]
    assert f"{folder}/lib" in told


def with_another(folder: Path, file: EnvFile, command: tuple[str, ...]) -> Configuration:
    """A server in a sandbox, and one without that reads a file in the folder of the first."""
    first = boxed(folder, command=command)
    other = replace(first, name="other", cwd=folder, plugins=(), env_file=(file,), command=("/bin/true",))
    return Configuration({"boxed": first, "other": other})


async def test_the_missing_variables_of_another_server_are_not_written_by_the_one_in_the_sandbox(
    folder: Path, directories: Directories
) -> None:
    file = folder / "project" / "conf" / "vars"
    command = ("/bin/sh", "-c", PLANT, "sh", str(file), "/etc/passwd")
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder / "home")}
    configured = with_another(folder, EnvFile(file, optional=True), command)
    async with Supervisor(configured, directories=directories, environ=environ) as supervisor:
        with anyio.fail_after(30):
            await supervisor["boxed"].start()
            await supervisor.wait()

    assert (folder / "project" / "done").exists()
    assert file.read_bytes() == b""
    assert not file.is_symlink()


async def test_what_another_server_needs_and_is_missing_where_the_first_could_write_it_is_asked_for(
    folder: Path, directories: Directories
) -> None:
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder / "home")}
    configured = with_another(folder, EnvFile(folder / "project" / "vars"), ("/usr/bin/touch", "ran"))
    async with Supervisor(configured, directories=directories, environ=environ) as supervisor:
        with pytest.raises(ServerError, match="vars is missing, which hostler reads for a server"):
            await supervisor["boxed"].start()
    assert not (folder / "project" / "ran").exists()


REPLACE = (
    "mv logs moved; ln -s $1 logs; i=0; while [ $i -lt 200 ]; do echo $i of the server; i=$((i+1)); done"
)


async def test_the_folder_of_a_log_is_not_replaced_by_a_link_to_where_the_server_may_not_write(
    folder: Path, directories: Directories, seen: list[Notice]
) -> None:
    (folder / "victim").mkdir()
    options = {"path": str(folder / "project" / "logs" / "app.log"), "max_size": "1 KiB", "keep": 2}
    command = ("/bin/sh", "-c", REPLACE, "sh", str(folder / "victim"))
    spec = boxed(folder, PluginSpec("log-rotation", options), command=command)
    await run_to_exit(spec, directories, seen)
    logs = folder / "project" / "logs"
    assert sorted(path.name for path in logs.glob("app.log*")) == ["app.log", "app.log.1", "app.log.2"]
    assert not logs.is_symlink()
    logs.rename(folder / "project" / "aside")
    logs.symlink_to(folder / "victim")

    with pytest.raises(ServerError, match="is a link in a folder that the server may write to"):
        await run_to_exit(spec, directories, seen)

    assert list((folder / "victim").iterdir()) == []


def test_a_log_does_not_follow_its_folder_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    log = RotatedFile(tmp_path / "logs" / "app.log", keep=2)
    log.open()
    (tmp_path / "logs").rename(tmp_path / "moved")
    (tmp_path / "logs").symlink_to(tmp_path / "victim")

    with pytest.raises(PermissionError, match="its folder is .*victim now"):
        log.open()

    log.close()
    assert list((tmp_path / "victim").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a server as another user")
def test_settings_that_a_server_could_change_are_not_read_to_install(tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    launch = a_launch(tmp_path, host_env={"HOME": home, "npm_config_cache": f"{home}/cache"})
    scratch = tmp_path / "scratch"
    assert tool_env(launch, "/bin", scratch)["HOME"] == str(tmp_path / "home")
    assert tool_env(launch, "/bin", scratch)["npm_config_cache"] == str(scratch / "cache")
    launch.user = "nobody"  # who owns a folder on the way to them
    (tmp_path / "home").mkdir()
    os.chown(tmp_path / "home", 2001, 2001)
    assert tool_env(launch, "/bin", scratch)["HOME"] == str(scratch)
