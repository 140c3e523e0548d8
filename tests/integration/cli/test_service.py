"""`hostler service`: files that are ours alone, and a real systemd that runs them."""

from __future__ import annotations

import json
import os
import plistlib
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hostler_process import HOSTLER, Run

UNITS = "config/systemd/user"
SYSTEMD = "/lib/systemd/systemd"


@pytest.fixture
def environ(environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The same, where no systemd can be talked to, as in a container."""
    gone = {"XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"}
    kept = {name: value for name, value in environ.items() if name not in gone}
    return kept | {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The folder of a configuration with one server."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "hostler.toml").write_text('[servers.web]\ncommand = ["sleep", "1000"]\nport = false\n')
    return folder


def test_the_unit_is_printed_and_nothing_is_written(run: Run, shop: Path, tmp_path: Path) -> None:
    done = run("service", "print", "shop", "--user", "--set", "servers.web.env.A=b")
    assert (done.returncode, done.stderr) == (0, "")
    python = str(Path(sys.executable).absolute())
    words = f"-P -m hostler.cli run {shop}/hostler.toml --set=servers.web.env.A=b"
    assert f"\nExecStart={python} {words}\n" in done.stdout
    listed = run("service", "print", "shop", "--for", "launchd").stdout
    assert plistlib.loads(listed.encode())["Label"] == "hostler-shop"
    value = json.loads(run("service", "print", "shop", "--user", "--name", "mine", "--json").stdout)
    assert value["path"] == str(tmp_path / UNITS / "mine.service")
    assert value["text"].startswith("# Written by `hostler service install`")
    assert not (tmp_path / "config").exists()


@pytest.mark.parametrize("verb", ["print", "install"])
def test_a_mistake_in_the_configuration_is_told_before_it_is_installed(
    run: Run, shop: Path, tmp_path: Path, verb: str
) -> None:
    (shop / "hostler.toml").write_text("[servers.web]\ncomand = ['x']\n")
    done = run("service", verb, "shop", "--user")
    assert done.returncode == 2
    assert 'did you mean "command"' in done.stderr
    value = json.loads(run("service", verb, "shop", "--user", "--json").stdout)["problem"]
    assert value["type"] == "/problems/invalid_configuration"
    assert 'did you mean "command"' in str(value["mistakes"])
    assert not (tmp_path / "config").exists()


def test_variables_that_the_shell_has_and_the_service_will_not_are_told(
    run: Run, shop: Path, environ: dict[str, str]
) -> None:
    with (shop / "hostler.toml").open("a") as file:
        file.write('env = { A = "${GREETING}", B = { secret = "env:API_KEY" }, C = "${HOME}${OTHER:-x}" }\n')
    given = environ | {"GREETING": "hello", "API_KEY": "s3cret-value"}
    done = run("service", "install", "shop", "--user", "--no-start", env=given)
    told, remedy = done.stderr.splitlines()
    assert told == (
        "warning: the configuration refers to API_KEY, GREETING: this shell has it, and the service will not"
    )
    assert "`systemctl --user edit hostler-shop.service`, with EnvironmentFile=PATH below [Service]" in remedy
    done = run("service", "print", "shop", "--user", "--for=launchd", "--json", env=given)
    assert (done.stderr, json.loads(done.stdout)["missing_variables"]) == ("", ["API_KEY", "GREETING"])
    assert "s3cret-value" not in done.stdout


@pytest.mark.parametrize("name", ["../x", "a b", "-x", ""])
def test_a_name_leads_to_no_other_folder(run: Run, shop: Path, name: str) -> None:
    done = run("service", "print", "shop", f"--name={name}")
    assert (done.returncode, done.stderr[:19]) == (2, "--name takes letter")


def test_a_file_that_hostler_has_not_written_stays(run: Run, shop: Path, tmp_path: Path) -> None:
    unit = tmp_path / UNITS / "hostler-shop.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\n")
    done = run("service", "install", "shop", "--user", "--no-start")
    assert done.returncode == 1
    assert done.stderr == (
        f"{unit} is there already, and hostler has not written it\n"
        "  what to do: remove it, or choose another --name\n"
    )
    removed = run("service", "uninstall", "shop", "--user", "--no-stop")
    assert (removed.returncode, removed.stderr) == (1, f"{unit} stays: hostler has not written it\n")
    assert f"{unit}: not written by hostler" in run("service", "status", "shop", "--user").stdout
    assert unit.read_text() == "[Service]\n"


def test_two_configurations_do_not_share_a_service(run: Run, shop: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "shop"
    shutil.copytree(shop, other)
    assert run("service", "install", "shop", "--user", "--no-start").returncode == 0
    unit = tmp_path / UNITS / "hostler-shop.service"
    before = unit.read_text()
    for verb, switch in (("install", "--no-start"), ("uninstall", "--no-stop")):
        done = run("service", verb, str(other), "--user", switch)
        assert (done.returncode, "another configuration" in done.stderr) == (1, True)
    assert "of another configuration" in run("service", "status", str(other), "--user").stdout
    assert unit.read_text() == before


def test_without_a_systemd_the_file_is_there_and_the_rest_is_said(
    run: Run, shop: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    unit = tmp_path / UNITS / "hostler-shop.service"
    commands = "systemctl --user daemon-reload && systemctl --user enable --now hostler-shop"
    done = run("service", "install", "shop", "--user", env={"PATH": "/nowhere", "HOME": str(tmp_path)})
    assert done.returncode == 5
    home = tmp_path / ".config" / "systemd" / "user" / "hostler-shop.service"
    assert done.stderr == (
        "systemd cannot be talked to: systemctl: No such file or directory\n"
        f"  what to do: {home} is written; where it can: {commands}\n"
    )
    assert home.stat().st_mode & 0o777 == 0o600

    done = run("service", "install", "shop", "--user", "--no-start")
    assert (done.returncode, done.stdout) == (0, f"hostler-shop: installed: {unit}\nnext: {commands}\n")

    without = {**environ, "PATH": "/nowhere"}
    status = run("service", "status", "shop", "--user", "--json", env=without)
    value = json.loads(status.stdout)
    assert (status.returncode, value["installed"], value["current"], value["state"]) == (5, True, True, None)
    assert value["problem"]["type"] == "/problems/unreachable"
    kept = run("service", "uninstall", "shop", "--user", env=without)
    assert (kept.returncode, "nothing was removed" in kept.stderr, unit.exists()) == (5, True, True)

    removed = run("service", "uninstall", "shop", "--user", "--no-stop")
    assert (removed.returncode, unit.exists()) == (0, False)
    assert "next: systemctl --user disable --now hostler-shop.service && " in removed.stdout
    assert run("service", "uninstall", "shop", "--user").returncode == 3
    assert run("service", "status", "shop", "--user").returncode == 3


# A namespace in which systemd finds what it looks for at its start; all that it has started ends with it.
IN_A_SYSTEMD = f"""
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
mkdir -pm 700 /run/user/0
export XDG_RUNTIME_DIR=/run/user/0
{SYSTEMD} --user --log-target=console > systemd.log 2>&1 &
set +e
until systemctl --user is-system-running --wait 2>&1 | grep -q 'running\\|degraded'; do sleep 0.1; done
hostler() {{ {shlex.join(HOSTLER)} "$@"; echo "exit $?"; }}
code() {{ {shlex.join(HOSTLER)} "$@" > /dev/null 2>&1; echo "exit $?"; }}
"""

A_LIFE = """
hostler service install shop --user
systemctl --user show -p ActiveState,StatusText,UnitFileState hostler-shop | sort
hostler service status shop --user
hostler service install shop --user --set servers.web.env.A=b
code service status shop --user --set servers.web.env.A=c
systemctl --user restart hostler-shop
tr '\\0' '\\n' < /proc/$(systemctl --user show -P MainPID hostler-shop)/cmdline | tail -1
hostler down shop/hostler.toml
code up shop/hostler.toml
hostler service install shop --user 2>&1 | sed 's/pid [0-9]*/pid N/'
hostler down shop/hostler.toml
hostler service install shop --user
hostler service uninstall shop --user
find config -name 'hostler*'
sed 's/"sleep", "1000"/"nowhere"/' shop/hostler.toml > bad.toml
echo 'restart = { policy = "never", start_retries = 0 }' >> bad.toml
hostler service install bad.toml --user 2>&1 | sed '/^See /d; s/\\(service failed\\) .*/\\1/'
"""


def _has_namespaces() -> bool:
    if not (os.access(SYSTEMD, os.X_OK) and shutil.which("systemctl") and shutil.which("unshare")):
        return False
    return subprocess.run(["unshare", "-mpf", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _has_namespaces(), reason="needs systemd, and root to start one of its own")
def test_a_real_systemd_runs_it(shop: Path, tmp_path: Path, environ: dict[str, str]) -> None:
    """One systemd for a whole life of a service, as its start and each of hostler take a while."""
    done = subprocess.run(
        ["unshare", "-mpf", "--kill-child", "--mount-proc", "bash", "-c", IN_A_SYSTEMD + A_LIFE],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    unit = tmp_path / UNITS / "hostler-shop.service"
    expected = f"""\
        hostler-shop: installed and started: {unit}
        exit 0
        ActiveState=active
        StatusText=1 of 1 ready
        UnitFileState=enabled
        hostler-shop: active
          {unit}: as it would be written now
        exit 0
        hostler-shop: installed: {unit}
        next: systemctl --user restart hostler-shop
        exit 0
        exit 1
        --set=servers.web.env.A=b
        all servers are stopped
        exit 0
        exit 0
        a hostler (pid N) supervises {shop}/hostler.toml already
          what to do: hostler down {shop}/hostler.toml, and then again
        exit 1
        all servers are stopped
        exit 0
        hostler-shop: installed and started: {unit}
        exit 0
        hostler-shop: removed: {unit}
        exit 0
        `systemctl --user enable --now hostler-bad`: Job for hostler-bad.service failed
          what to do: hostler explain {tmp_path}/bad.toml says what is wrong; when that is mended: systemctl\
 --user enable --now hostler-bad
        exit 1
        """
    assert done.stdout == textwrap.dedent(expected), done.stdout + done.stderr


def test_launchd_is_told_what_it_has_to_know(
    run: Run, shop: Path, tmp_path: Path, environ: dict[str, str]
) -> None:
    """A fake launchctl: a real one is on macOS alone."""
    fake = tmp_path / "bin" / "launchctl"
    fake.parent.mkdir()
    fake.write_text(
        "#!/bin/sh\n"
        'echo "$@" >> "$HOME/calls"\n'
        'case $1 in print) [ -e "$HOME/loaded" ] || exit 113; echo " state = running";;\n'
        'bootstrap) touch "$HOME/loaded";; bootout) rm "$HOME/loaded";; esac\n'
    )
    fake.chmod(0o755)
    path = {**environ, "PATH": f"{fake.parent}:{environ['PATH']}"}
    words = ("shop", "--user", "--for", "launchd")
    listed = tmp_path / "Library" / "LaunchAgents" / "hostler-shop.plist"
    label = f"gui/{os.getuid()}/hostler-shop"

    for _ in range(2):
        done = run("service", "install", *words, env=path)
        assert (done.returncode, done.stdout) == (0, f"hostler-shop: installed and started: {listed}\n")
    assert run("service", "status", *words, env=path).returncode == 0
    changed = run("service", "install", *words, "--profile=x", env=path)
    assert changed.returncode == 2  # there is no such profile
    changed = run("service", "install", *words, "--set=servers.web.env.A=b", env=path)
    left = f"launchctl bootout {label} && launchctl bootstrap gui/{os.getuid()} {listed}"
    assert changed.stdout.endswith(f"\nnext: {left}\n")
    assert run("service", "uninstall", *words, env=path).returncode == 0
    assert not listed.exists()
    calls = [line for line in (tmp_path / "calls").read_text().splitlines() if not line.startswith("print")]
    assert calls == [f"bootstrap gui/{os.getuid()} {listed}", f"bootout {label}"]
