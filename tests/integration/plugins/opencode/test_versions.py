"""How the plugin learns which version a program is, and what follows from it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hostler_plugins.opencode.profiles import EARLY, NEXT, OPEN, STABLE, profile_of
from hostler_plugins.opencode.programs import Program
from hostler_plugins.opencode.versions import Version, ask, package_version, source_version, version_of
from opencode_binaries import NEWEST, PREVIEW, opencode_binary
from opencode_context import Context, a_launch


def a_script(path: Path, says: str) -> Program:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{says}\n")
    path.chmod(0o755)
    return Program(path, native=False, found="test")


@pytest.mark.parametrize(
    ("version", "profile"),
    [
        ("0.5.29", EARLY),
        ("1.0.0", EARLY),
        ("1.0.185", OPEN),
        ("1.1.33", OPEN),
        ("1.1.34", STABLE),
        ("1.18.34", STABLE),
        ("2.0.3", NEXT),
        ("v2.1.0-beta", NEXT),
        ("local", STABLE),
        ("", STABLE),
        ("0.0.0-dev-202609212252", STABLE),
    ],
)
def test_the_version_decides_the_profile(version: str, profile: object) -> None:
    assert profile_of(version) is profile


def test_the_preview_and_a_configured_name_win_over_the_version() -> None:
    assert profile_of("1.18.18", preview=True) is NEXT
    assert profile_of("1.18.18", preview=True, name="early") is EARLY


@pytest.mark.opencode
async def test_npms_package_tells_the_version_without_running_the_program(view: Context) -> None:
    program = Program(opencode_binary(NEWEST), native=True, found="test")
    assert await version_of(program, view, a_launch(view)) == Version(NEWEST)
    assert package_version(opencode_binary(PREVIEW), a_launch(view)) == Version("1.18.18", preview=True)


@pytest.mark.opencode
async def test_a_copied_program_is_asked_once_and_remembered(view: Context) -> None:
    copy = view.root / "opencode"
    os.link(opencode_binary(NEWEST), copy) if same_disk(view) else copy.write_bytes(
        opencode_binary(NEWEST).read_bytes()
    )
    copy.chmod(0o755)
    program = Program(copy, native=True, found="test")
    first = await version_of(program, view, a_launch(view))
    (memory,) = (view.cache_dir / "opencode" / "versions").glob("*.json")
    memory.write_text(json.dumps({"version": "1.2.3", "preview": False}))

    assert first == Version(NEWEST)
    assert await version_of(program, view, a_launch(view)) == Version("1.2.3")


def same_disk(view: Context) -> bool:
    return opencode_binary(NEWEST).stat().st_dev == view.root.stat().st_dev


@pytest.mark.opencode
async def test_the_preview_is_told_by_its_name(view: Context) -> None:
    assert await ask(opencode_binary(PREVIEW), view, a_launch(view)) == Version("local", preview=True)


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ("echo 'ERROR 2026 service=models.dev'; echo 1.3.2", "1.3.2"),
        ("echo v1.4.0-beta.1", "1.4.0-beta.1"),
        ("exit 1", ""),
        ("echo hello", ""),
        ("echo 1.2.3; exit 1", ""),
    ],
)
async def test_a_program_is_asked_for_its_version(says: str, version: str, view: Context) -> None:
    program = a_script(view.root / "opencode", says)
    assert await version_of(program, view, a_launch(view, PATH=os.environ["PATH"])) == Version(version)


async def test_a_program_that_cannot_run_has_no_version(view: Context) -> None:
    broken = view.root / "opencode"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    assert await version_of(Program(broken, native=True, found="test"), view, a_launch(view)) == Version("")


async def test_asking_leaves_nothing_in_the_home_folder(view: Context) -> None:
    says = 'touch "$XDG_DATA_HOME.seen" "$TMPDIR/seen" || exit 1; echo 1.2.3'
    program = a_script(view.root / "bin" / "opencode", says)
    home = view.root / "home"
    launch = a_launch(view, PATH="/usr/bin:/bin", XDG_DATA_HOME=str(home))
    assert await ask(program.path, view, launch) == Version("1.2.3")
    assert list(home.iterdir()) == []


def test_a_package_of_somebody_else_does_not_tell_the_version(view: Context, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"name": "app", "version": "9.9.9"}')
    assert package_version(tmp_path / "bin" / "opencode", a_launch(view)) is None


def test_a_checkout_without_a_version_has_none(view: Context, tmp_path: Path) -> None:
    assert source_version(tmp_path, a_launch(view)) == Version("")
