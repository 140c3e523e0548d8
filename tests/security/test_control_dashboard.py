"""How a browser gets into the dashboard: the code, the token, the listener and the files."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import shutil
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
from controlled import Client, controlled
from hostler import Directories
from hostler.control import dashboard, tcp_peer
from hostler.control.web_files import FOLDER, POLICY
from specs import MakeSpec, worker
from tcp_client import Response, parsed


class Page:
    """What the page of one address sends, without a browser."""

    def __init__(self, address: dict[str, str]) -> None:
        url = urlsplit(address["url"])
        self.port, self.code = int(url.port or 0), url.fragment
        self.host = str(url.netloc)

    @classmethod
    async def open(cls, client: Client, **choice: bool) -> Page:
        return cls(await client.post("/v1/dashboard", **choice))

    async def ask(self, method: str, target: str, body: object = None, token: str = "") -> Response:
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}", "Connection: close"]
        lines += [f"Authorization: Bearer {token}"] if token else []
        lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"] if data else []
        head = "\r\n".join([*lines, "", ""]).encode()
        return parsed(await asyncio.to_thread(self._send, head + data))

    async def exchange(self) -> Response:
        return await self.ask("POST", "/v1/dashboard/token", {"code": self.code})

    async def token(self) -> str:
        return str(json.loads((await self.exchange()).body)["token"])

    def _send(self, data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(65_536), b""))


async def test_a_code_works_once_and_its_token_allows_to_look_and_to_command(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with controlled(worker(make_spec, "sleep", "60"), directories=directories) as client:
        await client.supervisor.wait_ready(timeout=20)
        page = await Page.open(client)
        token = await page.token()
        shown = await page.ask("POST", "/v1/dashboard/proof", {"nonce": "x"})
        own = hmac.digest(hashlib.sha256(token.encode()).digest(), b"x", "sha256").hex()
        assert json.loads(shown.body) == {"proofs": [own]}
        second = await page.exchange()
        assert (second.status, second.kind) == (401, "wrong_token")
        assert (await page.ask("GET", "/v1/servers")).kind == "no_token"
        assert (await page.ask("GET", "/v1/servers", token=token)).status == 200
        assert (await page.ask("POST", "/v1/servers/fake/start", {}, token)).status == 200
        assert (await page.ask("GET", "/v1/servers/fake/connection", token=token)).kind == "not_allowed"


async def test_a_code_is_too_old_after_its_time(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "CODE_SECONDS", 0.0)
    async with controlled(directories=directories) as client:
        page = await Page.open(client)
        assert (await page.exchange()).kind == "wrong_token"
        monkeypatch.undo()
        again = await Page.open(client)
        assert again.port == page.port
        assert (await page.exchange()).kind == "wrong_token"
        assert (await again.exchange()).status == 200


async def test_the_dashboard_listens_until_nobody_has_come_for_a_while(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "UNUSED_SECONDS", 0.3)
    async with controlled(directories=directories) as client:
        page = await Page.open(client)
        assert client.control._api is not None
        with socket.create_connection(("127.0.0.1", page.port)):
            await asyncio.sleep(0.6)  # longer than it would stay: somebody is there
            assert (await page.exchange()).status == 200
            assert client.control.is_busy  # no --idle-exit meanwhile
        closing = client.control._api.dashboard._closing  # to ask would keep it open
        assert closing is not None
        await asyncio.wait_for(closing, 20)
        assert not _listens(page.port)

        kept = await Page.open(client, keep=True)
        await asyncio.sleep(0.6)  # as above
        assert (await kept.exchange()).status == 200
    assert not _listens(kept.port)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_the_page_may_load_nothing_from_elsewhere_and_its_files_alone_are_there(
    directories: Directories,
) -> None:
    async with controlled(directories=directories) as client:
        page = await Page.open(client)
        first = await page.ask("GET", "/")
        assert first.status == 200
        assert first.headers["content-type"].startswith("text/html")
        for name in ("app.js", "base.css", "uplot.LICENSE"):
            answer = await page.ask("GET", f"/web/{name}")
            assert (answer.status, answer.body) == (200, (FOLDER / name).read_bytes())
            assert answer.headers["content-security-policy"] == POLICY
        for name in ("..%2Fapi.py", "..", "%2Fetc%2Fpasswd", "app.js%00", "x" * 5000):
            assert (await page.ask("GET", f"/web/{name}")).status == 404
        # The page is offered by its own listener alone.
        assert (await client.ask("GET", "/")).status == 404


def test_the_plots_are_drawn_by_the_release_of_uplot_that_is_named() -> None:
    digest = hashlib.sha256((FOLDER / "uplot.js").read_bytes()).hexdigest()
    assert digest == "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"
    assert (FOLDER / "uplot.js").read_text().startswith("/*! https://github.com/leeoniya/uPlot (v1.6.32) */")
    assert "Copyright (c) 2022 Leon Sorokin" in (FOLDER / "uplot.LICENSE").read_text()


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="root and setpriv make another user"
)
async def test_another_user_of_this_machine_cannot_even_ask(directories: Directories) -> None:
    async with controlled(directories=directories) as client:
        page = await Page.open(client)
        script = (
            f"exec 3<>/dev/tcp/127.0.0.1/{page.port}; "
            f"printf 'GET / HTTP/1.0\\r\\nHost: {page.host}\\r\\n\\r\\n' >&3; cat <&3"
        )
        for user, expected in (("65534", ""), ("0", "HTTP/1.0 200")):
            process = await asyncio.create_subprocess_exec(
                "setpriv", f"--reuid={user}", "--clear-groups", "bash", "-c", script,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            output, _ = await process.communicate()
            assert output.decode()[:12] == expected


def test_whose_a_connection_is_remains_open_where_the_system_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    assert tcp_peer.peer_user(("127.0.0.1", 1), ("127.0.0.1", 2)) is None
    monkeypatch.setattr(tcp_peer, "_TABLE", tmp_path / "none")
    assert tcp_peer.peer_user(("127.0.0.1", 1), ("127.0.0.1", 2)) is None
