"""The pictures of the dashboard in the docs, of a real run.

python tests/support/dashboard_screenshot.py
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from controlled import short_folder
from dashboard_page import Dashboard, browsing
from hostler_process import HOSTLER

FOLDER = Path(__file__).parents[2] / "docs" / "images"
SIZE = {"width": 1280, "height": 1600}
SECONDS = 75  # until memory and CPU are lines
_API = """
import http.server, itertools, threading, time
def work():
    kept = []
    for n in itertools.count():
        kept = kept[-6:] + [bytearray(2_000_000 + n % 7 * 400_000)]
        sum(range(300_000 * (n % 5)))
        print(f"\\x1b[32mINFO\\x1b[0m GET /orders/{417 + n} 200", flush=True)
        time.sleep(1)
threading.Thread(target=work, daemon=True).start()
import sys
address = "127.0.0.1", int(sys.argv[1])
http.server.ThreadingHTTPServer(address, http.server.BaseHTTPRequestHandler).serve_forever()
"""
_MAILER = (
    "echo 'connecting to mail.internal:25'; sleep 4; echo 'no connection to the mail server' >&2; exit 3"
)


def configuration() -> str:
    """A shop whose mailer has no mail server."""
    api = json.dumps(["python3", "-c", _API, "${server.port}"])
    mailer = json.dumps(["sh", "-c", _MAILER])
    return f"""
[servers.api]
command = {api}
needs = ["db"]

[servers.db]
command = "python3 -u -m http.server ${{server.port}} --bind ${{server.host}}"
plugins = {{ http-health = {{ interval = "1s" }} }}

[servers.mailer]
port = false
command = {mailer}
restart = {{ max_restarts = 9, initial_delay = "40s", max_delay = "40s" }}

[servers.docs]
autostart = false
command = "python3 -u -m http.server ${{server.port}} --bind ${{server.host}}"
"""


def take(browser: Any, url: str) -> None:
    """All servers, and the page of the one that is sick, in light and dark."""
    tab = Dashboard(browser, url, viewport=SIZE, reduced_motion="reduce")
    tab.wait_state("mailer", "backoff")
    tab.page.wait_for_timeout(SECONDS * 1000)
    tab.wait_state("mailer", "backoff")
    _keep(tab, "dashboard", ".servers > li:last-child")
    tab.open("mailer")
    tab.page.locator(".crash pre").first.wait_for()
    tab.page.wait_for_timeout(1000)
    _keep(tab, "dashboard-server", ".log")
    tab.close()


def _keep(tab: Dashboard, name: str, last: str) -> None:
    """A picture in each scheme, down to an element."""
    for scheme in ("light", "dark"):
        tab.page.emulate_media(color_scheme=scheme)
        tab.page.wait_for_timeout(300)
        box = tab.page.locator(last).bounding_box()
        clip = {"x": 0, "y": 0, "width": SIZE["width"], "height": box["y"] + box["height"] + 24}
        tab.page.screenshot(path=FOLDER / f"{name}-{scheme}.png", clip=clip)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, short_folder() as runtime:
        homes = {f"XDG_{kind}_HOME": folder for kind in ("STATE", "DATA", "CACHE")}
        environ = {**os.environ, **homes, "XDG_RUNTIME_DIR": str(runtime)}
        project = Path(folder) / "shop"
        project.mkdir()
        (project / "hostler.toml").write_text(configuration())
        given: dict[str, Any] = {"cwd": project, "env": environ}
        subprocess.run([*HOSTLER, "up", "--no-wait"], check=True, **given)
        try:
            argv = [*HOSTLER, "dashboard", "--no-open", "--json"]
            answer = subprocess.run(argv, check=True, capture_output=True, **given)
            with browsing() as browser:
                take(browser, json.loads(answer.stdout)["url"])
        finally:
            subprocess.run([*HOSTLER, "down", "--force"], check=True, **given)


if __name__ == "__main__":
    main()
