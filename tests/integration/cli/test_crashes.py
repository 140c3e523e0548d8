"""`hostler crashes`: what is on record is listed, and shown in full, without a running hostler."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from crashes import NOON, crash
from hostler import CrashRecord, Directories, State
from hostler.cli.crashes import page
from hostler.cli.formatting import format_duration, format_time
from hostler.records.crash_store import CrashStore, StoredCrash
from hostler.text.sanitize import harmless
from hostler_process import Configure, Run, server_table

Keep = Callable[..., None]


@pytest.fixture
def keep(tmp_path: Path, configure: Configure) -> Keep:
    """Put records on disk, as a hostler that ended long ago left them."""
    configure(text=server_table() + server_table(name="other"))
    directories = Directories(tmp_path, tmp_path / "data" / "hostler", tmp_path)
    store = CrashStore(directories.data_for(str(tmp_path / "hostler.toml")))

    def write(**changes: Any) -> None:
        store.write(crash(**changes))

    return write


def test_a_crash_is_listed_and_shown_after_a_real_run(configure: Configure, run: Run) -> None:
    configure(
        "--exit-after", "0.3", "--exit-code", "7", "--print-error", "boom", restart="{ max_restarts = 0 }"
    )
    assert run("run").returncode == 1
    done = run("crashes")
    head, line = done.stdout.splitlines()
    assert " ".join(head.split()) == "no. time server run how it ended uptime what followed"
    assert "fake    1    exit code 7" in line
    assert line.endswith("failed: gave up after 0 restarts")
    full = run("crashes", "fake", "--last").stdout
    assert full.startswith("fake, crash 1: run 1 exited unexpectedly at ")
    assert "  last lines of stderr:\n    boom\n" in full
    record = CrashRecord.from_dict(json.loads(run("crashes", "--json").stdout))
    assert (record.code, record.stderr) == (7, "boom\n")


def test_several_servers_are_listed_together_newest_last(keep: Keep, run: Run) -> None:
    keep(when=NOON)
    keep(when=NOON + timedelta(hours=2), killed=True, how="killed by SIGTERM")
    keep(when=NOON + timedelta(hours=1), server="other", outcome=State.FAILED, decision="gave up")
    lines = run("crashes", "hostler.toml").stdout.splitlines()
    assert [line.split()[3] for line in lines[1:]] == ["fake", "other", "fake"]
    assert [line.split()[0] for line in lines[1:]] == ["1", "1", "2"]
    assert "killed by SIGTERM, ended by hostler" in lines[3]
    assert lines[2].endswith("failed: gave up")
    assert len(run("crashes", "hostler.toml", "other").stdout.splitlines()) == 2
    assert len(run("crashes", "other").stdout.splitlines()) == 2


def test_one_is_chosen_by_its_number(keep: Keep, run: Run) -> None:
    for generation in range(1, 23):
        keep(generation=generation)

    assert "fake, crash 7: run 7 " in run("crashes", "fake", "--number", "7").stdout
    assert "fake, crash 22: run 22 " in run("crashes", "fake", "--last").stdout
    assert json.loads(run("crashes", "fake", "--number", "7", "--json").stdout)["generation"] == 7
    done = run("crashes", "fake", "--number", "2")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no record of crash 2; there are 3 to 22" in done.stderr
    assert len(run("crashes", "fake", "--json").stdout.splitlines()) == 20


def test_a_number_without_a_server_is_a_mistake(keep: Keep, run: Run) -> None:
    keep()
    done = run("crashes", "--number", "1")
    assert done.returncode == 2
    assert "the name of one server" in done.stderr


def test_without_a_crash_that_is_said(configure: Configure, run: Run) -> None:
    configure()
    done = run("crashes")
    assert (done.returncode, done.stdout) == (0, "no crash of fake is on record\n")
    assert run("crashes", "--last").stdout == "no crash of fake is on record\n"
    assert (run("crashes", "--json").returncode, run("crashes", "--json").stdout) == (0, "")
    assert "there is none" in run("crashes", "--number", "1").stderr


def test_an_unknown_server_is_a_mistake_with_a_proposal(configure: Configure, run: Run) -> None:
    configure()
    for command in ("crashes", "explain"):
        done = run(command, "faek")
        assert done.returncode == 2
        assert """no server 'faek' in hostler.toml; did you mean "fake"?""" in done.stderr
        assert "there are: fake" in run(command, "zzz").stderr


def test_what_a_server_wrote_does_not_play_with_the_terminal(keep: Keep, run: Run) -> None:
    keep(stderr="a\x1b[31mb\x1b[2Jc\x07\x9b1md\r\n\x1b]0;title\x07", how="\x1b[2J")
    text = run("crashes", "fake", "--last").stdout + run("crashes").stdout
    assert not any(ord(letter) < 32 and letter != "\n" for letter in text)
    assert "\x9b" not in text
    assert "abc" in text
    assert "\x1b" not in run("crashes", "--json").stdout


def test_a_page_tells_all() -> None:
    text = page(StoredCrash(3, crash()), NOON + timedelta(minutes=3)).splitlines()
    assert text[0].startswith("fake, crash 3: run 1 exited unexpectedly at ")
    assert text[0].endswith(", 3 min 0 s ago")
    assert text[1:3] == [
        "  how: exit code 3 after 3.8 s (pid 4711); it had been ready",
        "  why: it exited unexpectedly while it ran: exit code 3 after 3.8 s (ServerCrashed, exited)",
    ]
    assert text[3].startswith("  what followed: restart 1 of 5 at ")
    assert text[4:] == [
        "  what to do: look at it",
        "  memory:",
        "    13 MiB in 1 process after 0.2 s",
        "    14 MiB in 2 processes after 1 min 0 s",
        "  plugins:",
        "    sse-health (health_check): healthy",
        "  last lines of stderr:",
        "    err",
        "  last lines of stdout:",
        "    out",
    ]


def test_a_page_leaves_out_what_is_not_known() -> None:
    bare = crash(
        stdout="", stderr=" \n", memory=(), plugins=(), hint="", pid=None, ready=False, next_try=None
    )
    text = page(StoredCrash(1, bare), NOON)
    assert "  nothing on stderr\n  nothing on stdout" in text
    assert "it had not been ready" in text
    assert not any(word in text for word in ("memory:", "plugins:", "what to do", "pid"))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0.0 s"),
        (3.84, "3.8 s"),
        (63.9, "1 min 3 s"),
        (7500, "2 h 5 min"),
        (3 * 86400, "3 d 0 h"),
        (float("inf"), "11574074 d 1 h"),
    ],
)
def test_a_duration_has_two_units(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


def test_a_time_has_its_date_unless_it_is_today() -> None:
    now = datetime(2026, 1, 2, 12, tzinfo=UTC)
    assert len(format_time(now, now)) == len("12:00:00")
    assert format_time(now - timedelta(days=3), now).startswith("2025-12-30 ")


def test_text_keeps_its_lines_and_tabs() -> None:
    assert harmless("a\tb\r\nc") == "a\tb\nc"
