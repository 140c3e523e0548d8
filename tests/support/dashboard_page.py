"""The dashboard in a real browser: Debian's chromium, driven by playwright, on real hostlers."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hostler_process import Run
from node_program import modules

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = os.environ.get("DASHBOARD_PICTURES", "")
"""A folder for screenshots to look at; without it none are taken."""

_STATES = """name => {
  window.states = [];
  const look = () => {
    const row = [...document.querySelectorAll("[data-server]")].find((one) => one.dataset.server === name);
    const state = row && row.dataset.state, last = window.states[window.states.length - 1];
    if (state && (!last || last[0] !== state)) window.states.push([state, Date.now()]);
  };
  look();
  new MutationObserver(look).observe(document.body, {subtree: true, attributes: true, childList: true});
}"""


@contextmanager
def browsing() -> Iterator[Any]:
    """A browser; skips where there is none."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]  # of root, in a container
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


def address(run: Run, *options: str) -> str:
    """A new address of the dashboard."""
    done = run("dashboard", "--no-open", "--json", *options)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["url"])


class Dashboard:
    """One tab. What its console says and whatever it asks of others is noted, and refused."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(15_000)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.elsewhere: list[str] = []
        origin = "{0.scheme}://{0.netloc}/".format(urlsplit(url))

        def refuse(route: Any) -> None:
            self.elsewhere.append(route.request.url)
            route.abort()

        # By a pattern: what is ours does not come here, which would take as long as all the rest.
        self.context.route(re.compile(f"^(?!{re.escape(origin)})"), refuse)
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.goto(url)

    def server(self, name: str) -> Any:
        """The card of a server."""
        return self.page.locator(f"[data-server={json.dumps(name)}]")

    def wait_state(self, name: str, state: str) -> None:
        self.page.wait_for_selector(f"[data-server={json.dumps(name)}][data-state={state}]")

    def wait(self, expression: str) -> None:
        """Wait until it is true; what playwright has for that the page's own policy forbids."""
        deadline = time.monotonic() + 15
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, expression
            self.page.wait_for_timeout(20)

    def open(self, name: str) -> None:
        self.server(name).locator(".name").click()
        self.page.wait_for_selector(".server-page")

    def watch_states(self, name: str) -> None:
        """Note all states that the card of a server shows from now on."""
        self.page.evaluate(_STATES, name)

    def states(self) -> list[tuple[str, float]]:
        """Those that were shown, with the times in seconds."""
        return [(state, moment / 1000) for state, moment in self.page.evaluate("window.states")]

    def violations(self, *rules: str) -> Mapping[str, list[str]]:
        """What axe-core finds by these rules, or by all, by rule."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate((modules() / "axe-core" / "axe.min.js").read_text())
        options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
        found = self.page.evaluate("options => axe.run(document, options)", options)["violations"]
        return {
            one["id"]: [f"{node['html'][:200]} {node['failureSummary']}" for node in one["nodes"]]
            for one in found
        }

    def sideways(self) -> int:
        """By how many pixels the page is wider than the window."""
        root = "document.documentElement"
        return int(self.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth"))

    def picture(self, name: str) -> None:
        """Keep a screenshot to look at."""
        if PICTURES:
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)

    def close(self) -> None:
        self.context.close()


@contextmanager
def dashboard(browser: Any, url: str, *, quiet: bool = True, **options: Any) -> Iterator[Dashboard]:
    """A tab that says nothing in its console, unless not `quiet`, and asks nobody else."""
    tab = Dashboard(browser, url, **options)
    try:
        yield tab
        assert tab.elsewhere == []
        assert not quiet or tab.said == []
    finally:
        tab.close()
