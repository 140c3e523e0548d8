"""The control API over TCP, and a real browser that shows a page of somebody else."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from controlled import controlled
from hostler import ControlSpec, Directories
from specs import MakeSpec, worker
from tcp_client import TcpClient, over_tcp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EVIL = "127.0.0.2"
PAGE = """<!doctype html><title>A page of somebody else</title><script>
const told = {};
async function ask(name, url, options) {
  try {
    const answer = await fetch(url, options);
    told[name] = {status: answer.status, type: answer.type, text: await answer.text()};
  } catch (error) { told[name] = {error: String(error)}; }
}
(async () => {
  const body = JSON.stringify({}), json = {"Content-Type": "application/json"};
  await ask("rebound", "/v1/servers");
  await ask("rebound shutdown", "/v1/shutdown", {method: "POST", headers: json, body});
  await ask("other origin", OURS + "/v1/servers");
  await ask("other origin, opaque", OURS + "/v1/servers", {mode: "no-cors"});
  await ask("other origin shutdown", OURS + "/v1/shutdown", {method: "POST", mode: "no-cors", body});
  await ask("other origin json", OURS + "/v1/shutdown", {method: "POST", headers: json, body});
  const frame = document.createElement("iframe");
  frame.name = "answer";
  const form = document.createElement("form");
  const action = OURS + "/v1/shutdown";
  Object.assign(form, {method: "POST", action, enctype: "text/plain", target: "answer"});
  document.body.append(frame, form);
  const sent = new Promise((resolve) => { frame.onload = resolve; });
  form.submit();
  await sent;
  await fetch("/report", {method: "POST", body: JSON.stringify(told)});
})();
</script><body>"""


class Host:
    """Ends nothing, and counts how often it was told to."""

    def __init__(self) -> None:
        self.ended = 0

    def shutdown(self, *, force: bool) -> None:
        self.ended += 1


class EvilSite:
    """Serves its page, and leads what that asks for to hostler, as its name does once it is our address."""

    def __init__(self, tcp: TcpClient) -> None:
        self._tcp = tcp
        self.heads: list[str] = []
        self.report: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # A browser also opens connections that it may need, and closes them.
            with suppress(asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((int(line[15:]) for line in head.split("\r\n") if line.startswith("Content-Length")), 0)
        body = await reader.readexactly(length)
        path = head.split(" ")[1]
        if path == "/report":
            self.report.set_result(json.loads(body))
        page = PAGE.replace("OURS", json.dumps(self._tcp.url)) if path == "/" else ""
        if path.startswith("/v1"):
            self.heads.append(head)
            writer.write(await self._led_to_hostler(head, body))
        else:
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(page), page.encode())
            )
        await writer.drain()

    async def _led_to_hostler(self, head: str, body: bytes) -> bytes:
        closing = head.replace("Connection: keep-alive", "Connection: close")
        return await asyncio.to_thread(self._tcp.send, closing.encode() + body)


@asynccontextmanager
async def browser(address: str, profile: Path) -> AsyncIterator[None]:
    """A chromium that shows this address; evil.example is that of the evil site."""
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        "--headless",
        "--no-sandbox",  # of root, in a container
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--no-proxy-server",
        f"--user-data-dir={profile}",
        f"--host-resolver-rules=MAP evil.example {EVIL}",
        "--remote-debugging-port=0",  # stays until it is told to end
        address,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium")
async def test_a_page_whose_name_becomes_our_address_gets_nothing(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path
) -> None:
    host: Any = Host()
    spec = worker(make_spec, "sleep", "60")
    control = ControlSpec(tcp="127.0.0.1:0")
    async with controlled(spec, directories=directories, spec=control, host=host) as client:
        tcp = over_tcp(client)
        site = EvilSite(tcp)
        async with (
            await asyncio.start_server(site.serve, EVIL, tcp.port),
            browser(f"http://evil.example:{tcp.port}/", tmp_path / "profile"),
        ):
            told = await asyncio.wait_for(site.report, 60)
        # It came through to hostler, as a request of the page to its own origin.
        assert f"Host: evil.example:{tcp.port}" in site.heads[0]
        assert "Origin" not in site.heads[0]
        for name in ("rebound", "rebound shutdown"):
            assert (told[name]["status"], json.loads(told[name]["text"])["type"]) == (
                421,
                "/problems/wrong_host",
            )
        assert told["other origin"].get("error"), told
        assert told["other origin json"].get("error"), told
        assert "sleep" not in str(told)
        assert "fake" not in str(told)
        assert host.ended == 0
        assert (await tcp.ask("/v1/servers")).status == 200
