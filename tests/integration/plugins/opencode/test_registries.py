"""Where an install comes from: the user's registry, whatever a project says; what comes from a bad one."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from downloads import npm_program
from hostler import Launch, ProcessSpawnFailed
from hostler_plugins.opencode.install import Installation
from hostler_plugins.opencode.platforms import bun_package
from hostler_plugins.opencode.source import BUN_VERSION, wanted_bun
from opencode_binaries import npm_package
from opencode_context import Context, a_launch

NAME, VERSION = "hostler-test-program", "1.0.0"
PLAIN = "plain"


class Registry:
    """A registry on loopback with one package, which is as good or as bad as its kind says."""

    def __init__(self, kind: str) -> None:
        self.asked: list[str] = []
        registry = self
        archive = packed(kind)
        promised = b"other" if kind == "changed" else archive
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(promised).digest()).decode()

        class Answers(http.server.BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                registry.asked.append(self.path)
                is_archive = self.path.endswith(".tgz")
                dist = {"tarball": f"{registry.url}x.tgz", "integrity": integrity}
                one = {"name": NAME, "version": VERSION, "dist": dist}
                about = {"name": NAME, "dist-tags": {"latest": VERSION}, "versions": {VERSION: one}}
                body = archive if is_archive else json.dumps(about).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if kind == "cut" and is_archive else body)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def packed(kind: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        about = json.dumps({"name": NAME, "version": VERSION}).encode()
        add(tar, "package/package.json", about)
        if kind == "link":
            add(tar, "package/bin/program", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        elif kind == "folder":
            add(tar, "package/bin/program", b"", type=tarfile.DIRTYPE)
        elif kind != "empty":
            add(tar, "package/bin/program", b"#!/bin/sh\n")

    return buffer.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes, **fields: object) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o755
    for field, value in fields.items():
        setattr(member, field, value)
    tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def registry() -> Iterator[Callable[[str], Registry]]:
    made: list[Registry] = []

    def make(kind: str) -> Registry:
        made.append(Registry(kind))
        return made[-1]

    yield make
    for one in made:
        one.close()


def launch_of(view: Context, tool: Path, **host: str) -> Launch:
    """The launch of a hostler whose user has a home of its own, and that finds this tool."""
    launch = a_launch(view)
    own = {"HOME": str(view.root / "home"), "npm_config_fetch_retries": "0"}
    launch.host_env = own | host | {"PATH": f"{tool.parent}{os.pathsep}/usr/bin{os.pathsep}/bin"}
    return launch


def configure(launch: Launch, registry: Registry) -> None:
    """Have the user choose a registry, for all that is installed."""
    Path(launch.env["HOME"], ".npmrc").write_text(f"registry={registry.url}\n")


def installation(view: Context, launch: Launch) -> Installation:
    return Installation(launch, NAME, VERSION, "program", view.progress)


def project_around(folder: Path, registry: Registry) -> None:
    """What a project says of where its packages come from, in every way that npm and bun know."""
    scratch = [
        f"{before}opencode/.installing-*{after}" for before in ("", "cache/") for after in ("", "/job")
    ]
    (folder / "package.json").write_text(json.dumps({"name": "project", "workspaces": ["**", *scratch]}))
    (folder / ".npmrc").write_text(f"registry={registry.url}\n")
    (folder / "bunfig.toml").write_text(f'[install]\nregistry = "{registry.url}"\n')
    (folder / ".env").write_text(f"npm_config_registry={registry.url}\n")


def real_tool(name: str) -> Path:
    return Path(npm_program()) if name == "npm" else npm_package(bun_package(), BUN_VERSION) / "bin" / "bun"


@pytest.mark.parametrize("name", ["npm", "bun"])
async def test_a_project_around_the_cache_does_not_choose_where_programs_come_from(
    name: str, view: Context, registry: Callable[[str], Registry]
) -> None:
    users, projects = registry(PLAIN), registry(PLAIN)
    launch = launch_of(view, real_tool(name))
    configure(launch, users)

    for folder in (view.root, view.cache_dir):
        project_around(folder, projects)

    if name == "bun":
        (view.root / "only").mkdir()
        (view.root / "only" / "bun").symlink_to(real_tool(name))
        launch.host_env = {**launch.host_env, "PATH": str(view.root / "only")}

    assert (await installation(view, launch).ensure()).read_text() == "#!/bin/sh\n"
    assert users.asked
    assert projects.asked == []


async def test_what_npm_run_made_of_a_projects_settings_does_not_count(
    view: Context, registry: Callable[[str], Registry]
) -> None:
    users, projects = registry(PLAIN), registry(PLAIN)
    launch = launch_of(
        view,
        Path(npm_program()),
        npm_lifecycle_event="start",
        npm_config_registry=projects.url,
        NODE_OPTIONS=f"--require={view.root}/evil.js",
    )
    configure(launch, users)
    await installation(view, launch).ensure()
    assert users.asked
    assert projects.asked == []


async def test_the_users_own_environment_still_chooses_the_registry(
    view: Context, registry: Callable[[str], Registry]
) -> None:
    mirror = registry(PLAIN)
    await installation(view, launch_of(view, Path(npm_program()), npm_config_registry=mirror.url)).ensure()
    assert mirror.asked


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("changed", "is not what the registry promised"),
        ("cut", "the download was incomplete"),
        ("empty", "there is no bin/program in it"),
        ("link", "bin/program in it is no file"),
        ("folder", "bin/program in it is no file"),
    ],
)
async def test_a_package_that_cannot_be_used_is_told_in_words_and_not_installed(
    kind: str, words: str, view: Context, registry: Callable[[str], Registry]
) -> None:
    url = registry(kind).url
    wanted = installation(view, launch_of(view, Path(npm_program()), npm_config_registry=url))
    with pytest.raises(ProcessSpawnFailed, match=words) as caught:
        await wanted.ensure()
    assert caught.value.permanent == (kind != "cut")
    assert not wanted.folder.exists()


@pytest.mark.parametrize(
    "asked", ["bun@https://example.org/x.tgz", "bun@../../x", "bun@npm:x@1.0.0", "bun@1"]
)
def test_a_checkout_names_a_version_of_bun_and_no_place_to_get_it_from(
    asked: str, view: Context, tmp_path: Path
) -> None:
    (tmp_path / "package.json").write_text(json.dumps({"packageManager": asked}))
    assert wanted_bun(tmp_path, a_launch(view)) == BUN_VERSION
