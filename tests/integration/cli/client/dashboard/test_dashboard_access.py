"""The dashboard for everybody: by axe-core, in light and dark, on a phone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from background_project import write
from dashboard_page import Dashboard, address, dashboard
from hostler_process import Run, server_table

_FAILING = "import sys; print('\\x1b[31mError\\x1b[0m: no module', file=sys.stderr); sys.exit(1)"


@pytest.fixture
def sick(project: Path, run: Run) -> None:
    """A project with servers in many states."""
    fails = json.dumps(["python3", "-c", _FAILING])
    write(
        project,
        server_table(name="web"),
        server_table(name="off", autostart="false"),
        f"[servers.failed]\ncommand = {fails}\nport = false\nrestart = {{ policy = 'never' }}",
        f"[servers.again]\ncommand = {fails}\nport = false",
        "restart = { initial_delay = '60s', max_delay = '60s', start_retries = 5 }",
    )
    assert run("up", "--no-wait").returncode == 0


def _views(tab: Dashboard) -> Any:
    """All views, one after the other: its name, once it is shown."""
    for name, state in (("web", "running"), ("off", "stopped"), ("failed", "failed"), ("again", "backoff")):
        tab.wait_state(name, state)
    yield "list"
    tab.page.get_by_role("button", name="Keyboard and words").click()
    yield "help"
    tab.page.keyboard.press("Escape")
    tab.server("web").get_by_role("button", name="Restart web").click()
    yield "question"
    tab.page.keyboard.press("Escape")
    for name in ("web", "failed", "off"):
        tab.open(name)
        if name == "failed":
            tab.page.locator(".crash pre").wait_for()
            tab.page.fill("#search", "error")
        for title in ("Configuration", "Plugins", "Processes"):
            tab.page.locator("details.panel > summary", has_text=title).click()
            tab.page.locator("details.panel[open]", has_text=title).locator(
                "table, .demand > p"
            ).first.wait_for()
        tab.wait("!document.body.innerText.includes('Loading…')")
        yield f"server-{name}"
        tab.page.get_by_role("link", name="← All servers").click()
    tab.page.evaluate("location.hash = '#/servers/nobody'")
    tab.page.get_by_text("There is no server nobody").wait_for()
    yield "nobody"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.usefixtures("sick")
def test_axe_finds_nothing_on_any_view(run: Run, browser: Any, scheme: str) -> None:
    with dashboard(browser, address(run), color_scheme=scheme, reduced_motion="reduce") as tab:
        for view in _views(tab):
            assert tab.violations() == {}, view
            tab.picture(f"{view}-{scheme}")


@pytest.mark.usefixtures("sick")
def test_no_view_is_wider_than_a_phone(run: Run, browser: Any) -> None:
    with dashboard(browser, address(run), viewport={"width": 360, "height": 740}) as tab:
        for view in _views(tab):
            assert tab.sideways() == 0, view
            tab.picture(f"{view}-phone")


def test_the_colours_may_be_chosen_and_stay_so(project: Path, run: Run, browser: Any) -> None:
    write(project, server_table(name="web"))
    assert run("up").returncode == 0
    with dashboard(browser, address(run), color_scheme="light") as tab:
        tab.wait_state("web", "running")
        background = "getComputedStyle(document.body).backgroundColor"
        light = tab.page.evaluate(background)
        tab.page.get_by_label("Colours").select_option("dark")
        dark = tab.page.evaluate(background)
        tab.page.reload()
        tab.wait_state("web", "running")
        assert light != dark == tab.page.evaluate(background)
