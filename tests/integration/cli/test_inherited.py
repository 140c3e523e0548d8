"""What who starts hostler left it: signals that are ignored or blocked, descriptors that are closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hostler_process import HOSTLER, Configure, Start

SERVERS = """
[servers.web]
command = ["sh", "-c", "grep -E '^Sig(Blk|Ign)' /proc/self/status; exec sleep 100"]
port = false

[servers.short]
command = ["sh", "-c", "exit 3"]
port = false
restart = { policy = "never", start_retries = 0 }
"""
IGNORED = ",".join(
    f"{number:d}" for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1)
)


@pytest.mark.parametrize("option", ["--block-signal", f"--ignore-signal={IGNORED}"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_that_were_blocked_or_ignored_end_hostler_and_reach_no_server(
    configure: Configure, start: Start, option: str, number: int
) -> None:
    configure(text=SERVERS)
    hostler = start("run", "--debug", before=("env", option))
    hostler.wait_for("short server failed: it exited unexpectedly while it ran: exit code 3")
    nothing = "\t" + 16 * "0"
    assert hostler.wait_for("web   | SigBlk").endswith(nothing)
    assert hostler.wait_for("web   | SigIgn").endswith(nothing)
    hostler.send(number)

    assert hostler.end() == 1  # one has failed
    assert hostler.stdout[-1] == "web server stopped"


LOOKS = """
[servers.look]
port = false
command = ["sh", "-c", "seen=$(ls -l /proc/$$$$/fd); echo \\"$seen\\" > server"]
stdout = "inherit"
stderr = "inherit"
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_nothing_that_is_opened_takes_the_place_of_a_closed_input_or_output(
    configure: Configure, start: Start, tmp_path: Path, closed: str
) -> None:
    configure(text=LOOKS)
    look = "ls -l /proc/$PPID/fd > hostler; until [ -s server ]; do sleep 0.05; done; "
    look += 'seen=$(ls -l /proc/$$/fd); echo "$seen" > beside; exit 4'
    hostler = start("run", "--", "sh", "-c", look, before=("sh", "-c", f'exec "$@" {closed}', "sh"))

    assert hostler.end() == 4

    for file in ("server", "hostler", "beside"):
        fds = dict(line.split()[-3::2] for line in (tmp_path / file).read_text().splitlines() if "->" in line)
        numbers = [str("<>2".index(word[0])) for word in closed.split()]
        assert [fds[number] for number in numbers] == ["/dev/null"] * len(numbers), file


INTERRUPTED = """
import os, signal, sys

class AtLateModules:
    def find_spec(self, name, *more):
        if name == "hostler.cli.late_modules":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, AtLateModules())
"""


@pytest.mark.parametrize("argv", [[Path(sys.executable).parent / "hostler"], HOSTLER], ids=["script", "-m"])
def test_a_ctrl_c_while_python_imports_hostler_leaves_no_traceback(
    argv: list[str | Path], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([*argv, "--version"], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
