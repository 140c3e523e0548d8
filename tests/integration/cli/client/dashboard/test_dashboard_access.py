"""The dashboard for everybody: by axe-core, in light and dark, on a phone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from background_project import write
from dashboard_page import PICTURES, Dashboard, address, dashboard
from hostler_process import Run, server_table

_FAILING = "import sys; print('\\x1b[31mError\\x1b[0m: no such table: mails', file=sys.stderr); sys.exit(1)"
_AFTER = float(os.environ.get("DASHBOARD_PICTURES_AFTER", "0"))  # seconds; after 30 there are lines of memory
_SCREEN, _PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}


@pytest.fixture
def shop(project: Path, run: Run) -> None:
    """A project with servers in many states."""
    fails = json.dumps(["python3", "-c", _FAILING])
    write(
        project,
        server_table("--print", "ready for connections", name="db"),
        server_table("--print", "GET / 200", name="web", needs="['db']"),
        server_table(name="docs", autostart="false"),
        f"[servers.mail]\ncommand = {fails}\nport = false\nrestart = {{ policy = 'never' }}",
        f"[servers.worker]\ncommand = {fails}\nport = false",
        "restart = { initial_delay = '60s', max_delay = '60s', start_retries = 5 }",
    )
    assert run("up", "--no-wait").returncode == 0


def _views(tab: Dashboard) -> Iterator[str]:
    """All views, one after the other: its name, once it is shown."""
    states = {"web": "running", "docs": "stopped", "mail": "failed", "worker": "backoff"}
    for name, state in states.items():
        tab.wait_state(name, state)
    tab.page.wait_for_timeout(_AFTER * 1000)
    yield "list"
    tab.page.get_by_role("button", name="Keyboard and words").click()
    yield "help"
    tab.page.keyboard.press("Escape")
    tab.server("web").get_by_role("button", name="Restart web").click()
    yield "question"
    tab.page.keyboard.press("Escape")
    for name in ("web", "mail", "docs"):
        tab.open(name)
        if name == "mail":
            tab.page.locator(".crash pre").wait_for()
            tab.page.fill("#search", "error")
        if PICTURES:
            tab.page.wait_for_timeout(500)
            tab.picture(f"short-{name}")
        for title in ("Configuration", "Plugins", "Processes"):
            tab.page.locator("details.panel > summary", has_text=title).click()
            panel = tab.page.locator("details.panel[open]", has_text=title)
            panel.locator("table, .demand > p").first.wait_for()
        tab.wait("!document.body.innerText.includes('Loading…')")
        yield f"server-{name}"
        tab.page.get_by_role("link", name="← All servers").click()
    tab.page.evaluate("location.hash = '#/servers/nobody'")
    tab.page.get_by_text("There is no server nobody").wait_for()
    yield "nobody"
    tab.page.evaluate("sessionStorage.clear(); location.hash = ''")
    tab.page.reload()
    tab.page.get_by_role("heading", name="This page is not connected any more").wait_for()
    yield "signed-out"


@pytest.mark.usefixtures("shop")
def test_axe_finds_nothing_on_any_view_and_each_fits_a_phone(run: Run, browser: Any) -> None:
    with dashboard(browser, address(run), reduced_motion="reduce") as tab:
        for view in _views(tab):
            tab.page.emulate_media(color_scheme="light")
            assert tab.violations() == {}, view
            tab.picture(f"{view}-light")
            tab.page.emulate_media(color_scheme="dark")
            assert tab.violations("color-contrast") == {}, view  # all else is the same
            tab.picture(f"{view}-dark")
            tab.page.set_viewport_size(_PHONE)
            assert tab.sideways() == 0, view
            tab.picture(f"{view}-phone")
            tab.page.set_viewport_size(_SCREEN)
