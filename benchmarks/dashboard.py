"""The dashboard with 50 servers that talk much, in Debian's Chromium.

    python benchmarks/dashboard.py [--quick]

A task is measured by the CPU time that it took, as Chromium's trace tells it: on the clock a busy machine
would be measured too.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measuring import Row, under
from stage import Stage, hostler, table

SERVERS = 50
_TALK = """
import sys, time
for first in range(0, 10**9, 20):
    lines = (f"\\x1b[32mINFO\\x1b[0m request {n} answered in 12 ms\\n" for n in range(first, first + 20))
    sys.stdout.write("".join(lines))
    sys.stdout.flush()
    time.sleep(0.1)
"""
_ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--enable-precise-memory-info")
_TASKS = ("RunTask", "ThreadControllerImpl::RunTask")


def measure(quick: bool) -> list[Row]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return [Row("dashboard", "not measured: there is no chromium")]
    with Stage() as stage, _servers(stage) as file, _browser(chromium) as browser:
        return _rows(browser, stage, file, 10 if quick else 60)


def _rows(browser: Any, stage: Stage, file: Path, seconds: int) -> list[Row]:
    took = []
    for _ in range(3):
        page = browser.new_page()
        address = _address(stage, file)
        begin = time.perf_counter()
        page.goto(address)
        page.wait_for_selector(f"[data-server=talk-{SERVERS - 1}]")
        took.append((time.perf_counter() - begin) * 1000)
        if len(took) < 3:
            page.close()
    browser.start_tracing(page=page, categories=["toplevel"])
    page.evaluate("location.hash = '#/servers/talk-7'")
    page.wait_for_timeout(seconds * 1000)
    assert page.locator("button[aria-pressed=true]").count() == 1, "it does not follow the log any more"
    heap = page.evaluate("performance.memory.usedJSHeapSize") / 2**20
    cpu, clock = _longest(json.loads(browser.stop_tracing()))
    question = f"dashboard of {SERVERS} servers with 200 lines a second each"
    return [
        under(f"{question}: opened to all of them shown", min(took), "ms", 1000),
        under(
            f"{question}, {seconds} s on the page of one: longest task",
            cpu,
            "ms",
            200,
            f"on the clock: {clock:.0f} ms",
        ),
        under(f"{question}, the same: heap of the page", heap, "MiB", 150),
    ]


def _longest(trace: Any) -> tuple[float, float]:
    """The longest task of any page's main thread, in milliseconds of CPU and of the clock."""
    events = trace["traceEvents"]
    main = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        event for event in events if event.get("name") in _TASKS and (event["pid"], event["tid"]) in main
    ]
    return max(one.get("tdur", 0) for one in tasks) / 1000, max(one.get("dur", 0) for one in tasks) / 1000


def _address(stage: Stage, file: Path) -> str:
    """A new address of the dashboard."""
    argv = hostler("dashboard", "--no-open", "--json", str(file))
    answer = subprocess.run(argv, check=True, capture_output=True, env=stage.env, cwd=stage.folder)
    return str(json.loads(answer.stdout)["url"])


@contextmanager
def _servers(stage: Stage) -> Iterator[Path]:
    """All of them, in the background."""
    argv = [sys.executable, "-I", "-S", "-c", _TALK]
    file = stage.write("".join(table(f"talk-{n}", argv, "port = false") for n in range(SERVERS)))
    stage.run(hostler("up", str(file)))
    try:
        yield file
    finally:
        stage.run(hostler("down", str(file)))


@contextmanager
def _browser(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where there is a chromium

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


if __name__ == "__main__":
    from run import alone

    sys.exit(alone(measure))
