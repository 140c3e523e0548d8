"""What the dashboard shows when its hostler is gone, and when one is there again."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from background_project import pid_of, servers, write
from dashboard_page import address, dashboard
from hostler_process import Run, server_table


def _up(run: Run) -> int:
    done = run("up", "--json")
    assert done.returncode == 0, done.stderr
    return pid_of(done)


def test_a_hostler_that_is_killed_and_started_again_is_found_again(
    project: Path, run: Run, browser: Any
) -> None:
    write(project, server_table(name="web"))
    pid = _up(run)
    # A browser itself says in the console that nobody answers.
    with dashboard(browser, address(run), quiet=False) as tab:
        tab.wait_state("web", "running")
        tab.open("web")
        tab.page.locator(".log-line").first.wait_for()
        os.kill(pid, signal.SIGKILL)
        tab.page.get_by_text("Connection lost, last news ").wait_for()
        tab.picture("lost")
        assert tab.page.evaluate("sessionStorage.length") == 0
        # However far down the page, that is in sight. Nothing is made up. A command says that nobody answers.
        tab.page.evaluate("scrollTo(0, document.body.scrollHeight)")
        tab.wait("document.querySelector('.connection').getBoundingClientRect().top >= 0 && scrollY > 200")
        tab.page.get_by_role("button", name="Restart web").click()
        tab.page.get_by_role("dialog").get_by_role("button", name="Restart").click()
        tab.page.get_by_role("alert").get_by_text("hostler does not answer.").wait_for()
        uptime = tab.page.locator(".fact", has_text="Uptime").inner_text()
        tab.page.wait_for_timeout(1500)  # the next tick of its clock would be there
        assert tab.page.locator(".fact", has_text="Uptime").inner_text() == uptime
        another = _up(run)
        tab.page.get_by_text("Live", exact=True).wait_for()
        tab.page.get_by_text(f"pid {another}").first.wait_for()
        now = str(servers(run)["web"]["pid"])
        tab.wait(f"document.querySelector('.facts').innerText.includes('{now}')")
        tab.page.locator(".log-mark", has_text=f"pid {now}").wait_for()
        # The page goes on as before, also after it is loaded anew, and another one can be opened.
        tab.page.reload()
        tab.page.get_by_role("heading", name="web", exact=True).wait_for()
        url = address(run)
        assert urlsplit(url).netloc == urlsplit(tab.page.url).netloc
        with dashboard(browser, url) as second:
            second.wait_state("web", "running")
        assert [one for one in tab.said if "Failed to load resource" not in one] == []


def test_no_other_program_at_that_port_is_told_the_token(project: Path, run: Run, browser: Any) -> None:
    write(project, server_table(name="web"))
    pid = _up(run)
    with dashboard(browser, address(run), quiet=False) as tab:
        tab.wait_state("web", "running")
        port = int(urlsplit(tab.page.url).port or 0)
        token = str(tab.page.evaluate("sessionStorage.getItem('hostler-token')"))
        assert len(token) == 43
        with _Thief(port, after=pid) as thief:
            tab.page.get_by_role("heading", name="This page is not connected any more").wait_for()
        assert "POST /v1/dashboard/proof" in thief.heard
        assert token not in thief.heard


class _Thief:
    """Kills a hostler, and answers in its place, at once."""

    def __init__(self, port: int, after: int) -> None:
        self._port, self._pid = port, after
        self.heard = ""

    def __enter__(self) -> Self:
        os.kill(self._pid, signal.SIGKILL)
        while True:
            try:
                self._listener = socket.create_server(("127.0.0.1", self._port))
                break
            except OSError:  # the kernel closes what was its
                continue
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        body = json.dumps({"proofs": ["0" * 64], "servers": [], "cursor": ""}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                self.heard += connection.recv(65_536).decode(errors="replace")
                connection.sendall(head.encode() + body)


def test_a_hostler_that_ends_leaves_no_trace_of_its_dashboard(
    project: Path, run: Run, environ: dict[str, str], browser: Any
) -> None:
    write(project, server_table(name="web"))
    _up(run)
    with dashboard(browser, address(run), quiet=False) as tab:
        tab.wait_state("web", "running")
        folder = Path(environ["XDG_RUNTIME_DIR"]) / "hostler"
        assert list(folder.glob("*.dashboard"))
        assert all(path.stat().st_mode & 0o077 == 0 for path in folder.glob("*.dashboard"))
        assert run("down").returncode == 0
        tab.page.get_by_text("Connection lost").wait_for()
        assert "MiB" not in tab.server("web").locator(".fact", has_text="Memory").inner_text()
    assert not list(folder.glob("*.dashboard"))
