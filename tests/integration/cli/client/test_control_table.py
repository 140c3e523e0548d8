"""`[control]` of a configuration, as `hostler up`, `ps` and `check` know it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from background_project import pid_of, servers, write
from hostler_process import Run, server_table
from http_pages import self_signed
from tcp_client import TcpClient


def description_of(environ: dict[str, str]) -> Path:
    (file,) = Path(environ["XDG_RUNTIME_DIR"], "hostler").glob("*.json")
    return file


def test_a_socket_and_an_address_of_its_own_are_found(
    project: Path, run: Run, environ: dict[str, str]
) -> None:
    own = Path(environ["XDG_RUNTIME_DIR"], "own", "x.sock")
    write(project, f"[control]\nsocket = '{own}'\ntcp = '127.0.0.1:0'\n", server_table())
    assert run("up").returncode == 0
    assert own.is_socket()
    assert servers(run)["fake"]["state"] == "running"
    tcp = TcpClient(description_of(environ))
    assert json.loads(asyncio.run(tcp.ask("/v1/servers/fake")).body)["state"] == "running"
    assert run("down").returncode == 0
    assert [path.name for path in Path(environ["XDG_RUNTIME_DIR"]).rglob("*") if path.is_file()] == []
    assert not own.exists()


def test_it_is_found_again_where_somebody_has_removed_what_tells_of_it(
    project: Path, run: Run, environ: dict[str, str]
) -> None:
    own = Path(environ["XDG_RUNTIME_DIR"], "own", "x.sock")
    write(project, f"[control]\nsocket = '{own}'\n", server_table())
    assert run("up").returncode == 0
    folders = (Path(environ["XDG_RUNTIME_DIR"]), Path(environ["XDG_STATE_HOME"]))
    locks = [lock for folder in folders for lock in folder.rglob("*.lock")]
    removed = [file for lock in locks if (file := lock.with_suffix(".json")).exists()]
    assert removed
    for file in removed:
        file.unlink()
    assert servers(run)["fake"]["state"] == "running"


def test_a_change_is_told_and_applies_when_hostler_is_started_anew(
    project: Path, run: Run, environ: dict[str, str]
) -> None:
    write(project, server_table())
    pid = pid_of(run("up", "--json"))
    write(project, "[control]\ntcp = '127.0.0.1:0'\n", server_table())
    again = run("up")
    assert f"(pid {pid})" in again.stdout
    told = "[control]: applies when hostler is started anew\n  tcp: (none) -> 127.0.0.1:0\n"
    assert told in again.stderr
    assert json.loads(description_of(environ).read_text())["tcp"] is None


def test_nothing_is_started_in_the_background_that_nothing_could_reach(project: Path, run: Run) -> None:
    write(project, "[control]\nsocket = false\n", server_table())
    up = run("up")
    assert up.returncode == 2
    assert "control.socket: nothing could reach a hostler in the background" in up.stderr
    assert run("ps").returncode == 3


def test_check_reads_the_certificate_and_its_key(project: Path, run: Run) -> None:
    files = "certificate_file = 'box.pem'\nkey_file = 'box.key'\n"
    write(project, f"[control]\ntcp = '127.0.0.1:0'\n{files}", server_table())
    missing = run("check")
    assert missing.returncode == 2
    assert "hostler.toml:3: control.certificate_file: " in missing.stderr
    assert "box.pem cannot be read: No such file" in missing.stderr

    self_signed(project / "box.pem", project / "box.key")
    assert run("check").returncode == 0, run("check").stderr
    self_signed(project / "box.pem", project / "other.key")
    wrong = run("check")
    assert wrong.returncode == 2
    assert "hostler.toml:4: control.key_file: TLS cannot use it with that certificate: KEY" in wrong.stderr
