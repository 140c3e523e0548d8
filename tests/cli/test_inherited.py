"""What who starts hostler left it: signals that are ignored or blocked, descriptors that are closed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hostler_process import Configure, Start

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
    hostler.wait_for("short server failed: it ended unasked while it ran: exit code 3")
    nothing = "\t" + 16 * "0"
    assert hostler.wait_for("web stdout: SigBlk").endswith(nothing)
    assert hostler.wait_for("web stdout: SigIgn").endswith(nothing)
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
