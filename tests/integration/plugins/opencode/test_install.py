"""Installing from npm: whole or not at all, once, verified, and with words for what is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest
from downloads import npm_program
from hostler import ProcessSpawnFailed
from hostler_plugins.opencode import VERSION, OpenCode
from hostler_plugins.opencode.install import Installation
from hostler_plugins.opencode.platforms import bun_package, package_names
from hostler_plugins.opencode.versions import Version, ask
from opencode_binaries import npm_package
from opencode_context import Context, a_launch, clean_up

# A small package of the public registry with a program in it, in place of 60 MB.
SMALL, SMALL_VERSION, SMALL_NAME = "semver", "7.6.0", "semver.js"

CHILD = f"""
import os, sys, anyio
from pathlib import Path
from hostler import Launch
from hostler_plugins.opencode.install import Installation

here = Path(sys.argv[1])
launch = Launch(server="oc", generation=1, argv=[], cwd=here, env={{"PATH": os.environ["PATH"]}}, host="",
                port=None, data_dir=here, cache_dir=here, host_env=dict(os.environ))
say = lambda text: print(text, flush=True)
print(anyio.run(Installation(launch, "{SMALL}", "{SMALL_VERSION}", "{SMALL_NAME}", say).ensure))
"""


def small(view: Context, path: str | None = None, **host: str) -> Installation:
    launch = a_launch(view)
    launch.host_env = {**os.environ, **host}
    launch.env["PATH"] = path or str(Path(npm_program()).parent)
    if path is not None:
        launch.host_env = {**launch.host_env, "PATH": path}
    return Installation(launch, SMALL, SMALL_VERSION, SMALL_NAME, view.progress)


def leftovers(view: Context) -> list[str]:
    return [path.name for path in (view.cache_dir / "opencode").glob(".installing-*")]


def fake_npm(view: Context, text: str) -> str:
    """A PATH with an npm that behaves as the text says, and else is the real one."""
    folder = view.root / "fake"
    folder.mkdir()
    (folder / "npm").write_text(f'#!/bin/sh\n{text}\nexec {npm_program()} "$@"\n')
    (folder / "npm").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.usefixtures("network")
async def test_a_package_is_installed_once_with_its_program_executable(view: Context) -> None:
    program = await small(view).ensure()
    said, first = len(view.progressed), os.stat(program)  # noqa: PTH116 - the async rules know no Path
    again = await small(view).ensure()

    assert again == program
    assert first.st_mode & 0o777 == 0o755
    assert (os.stat(again).st_ino, len(view.progressed)) == (first.st_ino, said)  # noqa: PTH116
    assert said == 3
    assert leftovers(view) == []


@pytest.mark.opencode
@pytest.mark.usefixtures("network")
async def test_a_missing_opencode_is_installed_and_started_from_the_cache(view: Context) -> None:
    launch = a_launch(view)
    await OpenCode(install="if-missing").pre_spawn(view, launch)

    folder = view.cache_dir / "opencode" / f"{package_names()[0]}@{VERSION}"
    assert launch.argv[0] == str(folder / "bin" / "opencode")
    assert launch.facts["version"] == VERSION
    clean_up(launch)
    assert await ask(Path(launch.argv[0]), view, a_launch(view)) == Version(VERSION)


@pytest.mark.usefixtures("network")
def test_two_processes_that_install_at_once_agree(tmp_path: Path) -> None:
    both = [
        subprocess.Popen([sys.executable, "-c", CHILD, tmp_path], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0].split("\n") for process in both]

    assert [process.returncode for process in both] == [0, 0]
    assert said[0][-2] == said[1][-2]
    downloads = [line for lines in said for line in lines if line.startswith("downloading")]
    assert len(downloads) == 1
    assert sum("another hostler is installing" in line for lines in said for line in lines) <= 1


@pytest.mark.usefixtures("network")
async def test_an_interrupted_install_leaves_no_program_and_the_next_one_clears_it_away(
    view: Context,
) -> None:
    interrupt_one(small(view).launch.cache_dir)
    assert leftovers(view)
    assert not small(view).program.exists()

    assert await small(view).ensure() == small(view).program
    assert leftovers(view) == []


def interrupt_one(cache: Path) -> None:
    """Kill a process in the middle of its download."""
    command = [sys.executable, "-c", CHILD, str(cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as child:
        assert child.stdout is not None
        assert any(line.startswith("downloading") for line in iter(child.stdout.readline, ""))
        os.killpg(child.pid, signal.SIGKILL)


async def test_a_cancelled_install_ends_its_npm_and_leaves_nothing(view: Context) -> None:
    os.mkfifo(view.root / "told")
    path = fake_npm(view, f"echo $$ > {view.root}/told; sleep 300")

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(small(view, path).ensure)
            pid = int(await anyio.to_thread.run_sync((view.root / "told").read_text))
            tasks.cancel_scope.cancel()

    assert leftovers(view) == []

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_without_npm_and_bun_the_error_says_what_to_install(view: Context) -> None:
    with pytest.raises(ProcessSpawnFailed, match="neither npm nor bun") as caught:
        await small(view, "/proc/nowhere").ensure()
    assert caught.value.permanent
    assert "install Node.js" in str(caught.value)
    assert leftovers(view) == []


async def test_an_unreachable_registry_is_told_and_worth_another_try(view: Context) -> None:
    broken = small(
        view,
        npm_config_registry="http://127.0.0.1:9",
        npm_config_fetch_retries="0",
        npm_config_cache=str(view.root / "npm"),
    )

    with pytest.raises(ProcessSpawnFailed, match="cannot be installed") as caught:
        await broken.ensure()

    assert not caught.value.permanent
    assert "registry can be reached" in str(caught.value)


@pytest.mark.usefixtures("network")
async def test_a_version_that_does_not_exist_is_permanent(view: Context) -> None:
    wanted = small(view)
    missing = Installation(wanted.launch, SMALL, "99.99.99", SMALL_NAME, view.progress)
    with pytest.raises(ProcessSpawnFailed, match="knows no semver 99.99.99") as caught:
        await missing.ensure()
    assert caught.value.permanent


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("answer", ['"sha512-AAAA"', '"sha1-AAAA"', ""])
async def test_a_download_that_is_not_what_was_promised_is_refused(answer: str, view: Context) -> None:
    path = fake_npm(view, f"if [ \"$1\" = view ]; then echo '{answer}'; exit 0; fi")
    with pytest.raises(ProcessSpawnFailed, match="not what the registry promised") as caught:
        await small(view, path).ensure()
    assert caught.value.permanent
    assert not small(view).folder.exists()


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("exit 3", "npm ended with exit code 3: no output"),
        ("kill -KILL $$", "npm was killed by SIGKILL: no output"),
        ("exit 0", "npm ended without a word and without a package"),
    ],
)
async def test_an_npm_that_ends_without_a_word_is_told_by_its_end(end: str, told: str, view: Context) -> None:
    with pytest.raises(ProcessSpawnFailed, match=told):
        await small(view, fake_npm(view, end)).ensure()


async def test_an_npm_that_cannot_be_run_is_told(view: Context) -> None:
    path = fake_npm(view, "")
    (view.root / "fake" / "npm").write_bytes(b"\x7fELF nonsense")
    with pytest.raises(ProcessSpawnFailed, match="cannot be run"):
        await small(view, path).ensure()


@pytest.mark.usefixtures("network")
async def test_a_full_or_broken_cache_is_told(view: Context) -> None:
    # A file where the unpacked package should go: what a disk does that refuses.
    path = fake_npm(view, 'if [ "$1" = pack ]; then touch ../package; fi')
    with pytest.raises(ProcessSpawnFailed, match="Not a directory") as caught:
        await small(view, path).ensure()
    assert "cache" in str(caught.value)


@pytest.mark.usefixtures("network")
async def test_bun_installs_where_npm_is_missing(view: Context) -> None:
    bun = npm_package(bun_package(), "1.4.5") / "bin" / "bun"
    (view.root / "bin").mkdir()
    (view.root / "bin" / "bun").symlink_to(bun)
    wanted = small(view, str(view.root / "bin"))
    started = time.monotonic()

    program = await wanted.ensure()

    assert program.stat().st_mode & 0o777 == 0o755
    assert "with bun" in view.progressed[0]
    assert time.monotonic() - started < 120


def with_bun(view: Context, program: str) -> Installation:
    """No npm, and a bun that links node_modules to what it unpacked, with the program made so."""
    bun = view.root / "bin" / "bun"
    bun.parent.mkdir()
    unpacks = f"mkdir -p store/bin node_modules; {program}; ln -s ../store node_modules/{SMALL}"
    bun.write_text(f"#!/bin/sh\nPATH={os.environ['PATH']}; {unpacks}\n")
    bun.chmod(0o755)
    return small(view, str(bun.parent))


async def test_an_npm_whose_node_is_missing_is_told_with_what_is_missing(view: Context) -> None:
    npm = view.root / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/usr/bin/env node\n")
    npm.chmod(0o755)
    with pytest.raises(ProcessSpawnFailed, match="npm cannot be run: .*node") as caught:
        await small(view, str(npm.parent)).ensure()
    assert "install Node.js" in caught.value.context.hint
    assert "registry" not in caught.value.context.hint


async def test_a_package_that_bun_links_to_is_kept_with_what_is_behind_the_link(view: Context) -> None:
    program = await with_bun(view, f"echo here > store/bin/{SMALL_NAME}").ensure()
    assert program.read_text() == "here\n"
    assert leftovers(view) == []


async def test_a_link_that_bun_unpacked_in_the_place_of_the_program_is_refused(view: Context) -> None:
    wanted = with_bun(view, f"ln -s /bin/sh store/bin/{SMALL_NAME}")
    with pytest.raises(ProcessSpawnFailed, match="in it is no file"):
        await wanted.ensure()
    assert not wanted.folder.exists()
