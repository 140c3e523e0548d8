"""The native program behind npm's wrappers, laid out as the package managers do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from downloads import fetched, npm_with_network
from hostler_plugins.opencode.platforms import bun_package, has_avx2, is_musl, package_names, platform_name
from hostler_plugins.opencode.programs import Program, is_program, resolve
from hostler_plugins.opencode.versions import Version, ask
from opencode_binaries import NEWEST, only_with_every_version, opencode_binary
from opencode_context import Context, a_launch
from other_user import as_user

NODE = "#!/usr/bin/env node\nconst envPath = process.env.OPENCODE_BIN_PATH\n"


def npm_install(version: str, *flags: str) -> Path:
    """`opencode-ai` installed by npm, once, in the tests' cache: its node_modules."""
    only_with_every_version()

    def install(folder: Path) -> None:
        command = [npm_with_network(), "install", "--silent", "--no-audit", "--no-fund", *flags]
        subprocess.run([*command, "--prefix", folder, f"opencode-ai@{version}"], check=True, timeout=300)

    name = "-".join(["installed", version, *(flag.strip("-") for flag in flags)])
    return fetched(name, "done", install) / "node_modules"


def a_native(path: Path) -> Path:
    """The smallest thing that counts as a native program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF")
    path.chmod(0o755)
    return path


def a_wrapper(path: Path, text: str = NODE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.opencode
@pytest.mark.parametrize(
    ("version", "flags"), [("1.0.0", ()), ("1.1.34", ()), ("1.18.33", ("--ignore-scripts",))]
)
async def test_what_npm_installs_is_resolved_to_the_native_program(
    version: str, flags: tuple[str, ...], view: Context
) -> None:
    modules = npm_install(version, *flags)
    link = modules / ".bin" / "opencode"
    assert is_program(link)

    program = resolve(link, "test", a_launch(view))

    assert program == Program(
        (modules / package_names()[0] / "bin" / "opencode").resolve(), native=True, found="test"
    )
    assert await ask(program.path, view, a_launch(view)) == Version(version)


def test_a_nested_package_of_a_global_install_is_found(view: Context, tmp_path: Path) -> None:
    package = tmp_path / "lib" / "node_modules" / "opencode-ai"
    wrapper = a_wrapper(package / "bin" / "opencode")
    native = a_native(package / "node_modules" / package_names()[0] / "bin" / "opencode")
    assert resolve(wrapper, "test", a_launch(view)).path == native


def test_a_copy_beside_the_wrapper_comes_before_the_packages(view: Context, tmp_path: Path) -> None:
    package = tmp_path / "node_modules" / "opencode-ai"
    wrapper = a_wrapper(package / "bin" / "opencode")
    a_native(tmp_path / "node_modules" / package_names()[0] / "bin" / "opencode")
    native = a_native(package / "bin" / ".opencode")
    assert resolve(wrapper, "test", a_launch(view)).path == native


def test_the_folders_of_pnpm_are_followed(view: Context, tmp_path: Path) -> None:
    store = tmp_path / "node_modules" / ".pnpm" / "opencode-ai@1.2.3" / "node_modules"
    native = a_native(store / package_names()[0] / "bin" / "opencode")
    a_wrapper(store / "opencode-ai" / "bin" / "opencode")
    (tmp_path / "node_modules" / "opencode-ai").symlink_to(store / "opencode-ai")
    shim = a_wrapper(
        tmp_path / "node_modules" / ".bin" / "opencode",
        '#!/bin/sh\nexec node "$basedir/../opencode-ai/bin/opencode" "$@"\n',
    )
    assert resolve(shim, "test", a_launch(view)).path == native


def test_opencode_bin_path_comes_first(view: Context, tmp_path: Path) -> None:
    wrapper = a_wrapper(tmp_path / "node_modules" / "opencode-ai" / "bin" / "opencode")
    a_native(tmp_path / "node_modules" / package_names()[0] / "bin" / "opencode")
    mine = a_native(tmp_path / "mine")
    assert resolve(wrapper, "test", a_launch(view, OPENCODE_BIN_PATH=str(mine))).path == mine


def test_a_wrapper_without_a_native_program_is_only_a_wrapper(view: Context, tmp_path: Path) -> None:
    wrapper = a_wrapper(tmp_path / "node_modules" / "opencode-ai" / "bin" / "opencode")
    assert resolve(wrapper, "test", a_launch(view)) == Program(wrapper, native=False, found="test")


def test_a_script_of_the_users_own_is_not_looked_behind(view: Context, tmp_path: Path) -> None:
    script = a_wrapper(tmp_path / "bin" / "opencode", "#!/bin/sh\nexec bwrap opencode\n")
    a_native(tmp_path / "node_modules" / package_names()[0] / "bin" / "opencode")
    assert resolve(script, "test", a_launch(view)).path == script


def test_a_file_that_cannot_be_read_is_no_native_program(view: Context, tmp_path: Path) -> None:
    assert not resolve(tmp_path / "gone", "test", a_launch(view)).native


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_there_is_no_program_in_a_folder_of_path_that_is_closed_to_the_user(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    a_native(closed / "bun")
    closed.chmod(0o700)
    assert as_user(2001, lambda: is_program(closed / "bun")) == "False"


@pytest.mark.opencode
def test_this_machines_first_package_is_the_one_that_runs_here() -> None:
    assert package_names()[0] == f"opencode-{platform_name()}"
    assert opencode_binary(NEWEST).parent.parent.name == f"{package_names()[0]}@{NEWEST}"


def machine(root: Path, *, avx2: bool, musl: bool) -> Path:
    (root / "proc").mkdir()
    (root / "proc" / "cpuinfo").write_text(f"flags\t\t: fpu sse2 {'avx2 ' if avx2 else ''}bmi1\n")
    (root / "lib").mkdir()
    (root / "lib" / ("ld-musl-x86_64.so.1" if musl else "ld-linux-x86-64.so.2")).touch()
    return root


@pytest.mark.parametrize(
    ("avx2", "musl", "first"),
    [(True, False, ""), (False, False, "-baseline"), (True, True, "-musl"), (False, True, "-baseline-musl")],
)
def test_the_package_fits_processor_and_c_library(avx2: bool, musl: bool, first: str, tmp_path: Path) -> None:
    root = machine(tmp_path, avx2=avx2, musl=musl)
    if not platform_name().endswith("-x64"):
        first = first.replace("-baseline", "")
    assert package_names(root)[0] == f"opencode-{platform_name()}{first}"
    assert bun_package(root).count("-musl") == musl


def test_where_nobody_can_tell_the_processor_is_taken_for_a_new_one(tmp_path: Path) -> None:
    assert has_avx2(tmp_path)
    assert not is_musl(tmp_path)
