"""The keys of root's login session are not for a server with less rights."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hostler_process import HOSTLER

PYTHON = "/usr/bin/python3"
KEYCTL, ADD_KEY = {"x86_64": (250, 248), "aarch64": (219, 217)}.get(os.uname().machine, (0, 0))
CALL = "import ctypes, os, sys\ncall = ctypes.CDLL(None).syscall\n"
ROOT = f"{CALL}call({KEYCTL}, 1, b'roots'); call({ADD_KEY}, b'user', b'key-of-root', b'x', 1, -3)\n"
BEGIN = f"{ROOT}os.execv(sys.argv[1], sys.argv[1:])"
MANY = "[os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True) for _ in range(1100)]\n"
LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))\n"
LOOK = f"""{CALL}found = call({KEYCTL}, 10, -3, b'user', b'key-of-root', 0) > 0
left = call({ADD_KEY}, b'user', b'left-behind', b'x', 1, -3) > 0
print("KEYS", found, left, flush=True)"""
HAS_KEYS = bool(KEYCTL) and ctypes.CDLL(None).syscall(KEYCTL, 0, -3, 0) > 0
LESS = ["user = '2002'", "plugins = { privileges = {} }", "plugins = { sandbox = { cwd = 'read-only' } }"]

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users"),
    pytest.mark.skipif(not HAS_KEYS or not Path(PYTHON).exists(), reason="needs keys, and a Python for all"),
]


def run(folder: Path, line: str) -> str:
    (folder / "hostler.toml").write_text(
        f"[servers.s]\ncommand = ['{PYTHON}', '-c', '''{LOOK}''']\nkind = 'task'\ncwd = '/'\n{line}\n"
    )
    words = [sys.executable, "-c", BEGIN, *HOSTLER, "run", "--debug"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("line", LESS)
def test_a_server_with_less_rights_finds_no_key_of_our_session_and_leaves_none_in_it(
    tmp_path: Path, line: str
) -> None:
    if "sandbox" in line and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is needed")
    assert "KEYS False False" in run(tmp_path, line)


def test_a_server_with_our_rights_keeps_them(tmp_path: Path) -> None:
    assert "KEYS True True" in run(tmp_path, "")


def test_one_that_a_reload_adds_finds_none_where_there_are_many_descriptors(tmp_path: Path) -> None:
    file = tmp_path / "hostler.toml"
    file.write_text("[servers.first]\ncommand = ['sleep', '60']\nport = false\n")
    words = [sys.executable, "-c", f"{ROOT}{LIMIT}{MANY}os.execv(sys.argv[1], sys.argv[1:])", *HOSTLER, "run"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with subprocess.Popen(
        [*words, "--output", "prefixed"], cwd=tmp_path, env=environ, text=True, stdout=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        next(line for line in run.stdout if "first server started" in line)
        with file.open("a") as more:
            more.write(
                f"[servers.s]\ncommand = ['{PYTHON}', '-c', '''{LOOK}''']\nkind = 'task'\n"
                "cwd = '/'\nuser = '2002'\n"
            )
        run.send_signal(signal.SIGHUP)
        keys = next(line for line in run.stdout if "KEYS" in line)
        run.send_signal(signal.SIGTERM)
        run.communicate()
    assert "KEYS False False" in keys


def test_what_reads_for_another_user_has_none() -> None:
    read = f"run_as(2002, 2002, [], ['{PYTHON}', '-c', sys.argv[1]], most=99, seconds=10)"
    code = f"{ROOT}from hostler.files.run_as import run_as\nprint({read})"
    done = subprocess.run([sys.executable, "-c", code, LOOK], capture_output=True, text=True, check=True)
    assert "KEYS False False" in done.stdout
