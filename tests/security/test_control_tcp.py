"""The control API over TCP: who gets in, with which token, and that no page of another site does."""

from __future__ import annotations

import asyncio
import socket
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from controlled import controlled
from hostler import ControlSpec, Directories, InvalidConfiguration
from specs import MakeSpec, worker
from tcp_client import over_tcp, parsed

ON_TCP = ControlSpec(tcp="127.0.0.1:0")


class Host:
    """Ends nothing, and counts how often it was told to."""

    def __init__(self) -> None:
        self.ended = 0

    async def reload(self, *, dry_run: bool) -> Any:
        raise AssertionError("nobody asks for it")

    def shutdown(self, *, force: bool) -> None:
        self.ended += 1


# -- tokens ----------------------------------------------------------------------------------------


async def test_over_tcp_every_request_needs_a_token_but_those_of_probes(directories: Directories) -> None:
    async with controlled(directories=directories, spec=ON_TCP) as client:
        tcp = over_tcp(client)
        for target in ("/v1", "/v1/servers", "/openapi.json", f"/v1?token={tcp.tokens['read']}"):
            answer = await tcp.ask(target, None)
            assert (answer.status, answer.kind) == (401, "no_token")
            assert answer.headers["www-authenticate"] == "Bearer"
        for wrong in ("x", tcp.tokens["read"][:-1], tcp.tokens["read"].lower(), "\xe9", ""):
            answer = await tcp.ask("/v1", None, Authorization=f"Bearer {wrong}")
            assert (answer.status, answer.kind) == (401, "wrong_token")
        basic = await tcp.ask("/v1", None, Authorization=f"Basic {tcp.tokens['read']}")
        assert basic.kind == "wrong_token"
        assert (await tcp.ask("/livez", None)).status == 200
        assert (await tcp.ask("/v1")).status == 200


async def test_a_token_of_another_hostler_or_of_an_earlier_one_is_wrong(directories: Directories) -> None:
    async with controlled(directories=directories, spec=ON_TCP) as client:
        first = over_tcp(client)
        async with controlled(directories=directories, spec=ON_TCP) as another:
            answer = await over_tcp(another).ask(
                "/v1", None, Authorization=f"Bearer {first.tokens['connect']}"
            )
            assert answer.kind == "wrong_token"
        await client.control.__aexit__(None, None, None)
        assert not any(path.exists() for path in first.files.values())
        async with client.control:
            again = over_tcp(client)
            answer = await again.ask("/v1", None, Authorization=f"Bearer {first.tokens['connect']}")
            assert answer.kind == "wrong_token"
            assert not set(first.tokens.values()) & set(again.tokens.values())


async def test_tokens_are_in_private_files_and_long(directories: Directories) -> None:
    async with controlled(directories=directories, spec=ON_TCP) as client:
        tcp = over_tcp(client)
        for path, token in zip(tcp.files.values(), tcp.tokens.values(), strict=True):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            assert len(token) == 43  # 256 bits in base64
        described = Path(client.control.socket).with_suffix(".json").read_text()
        assert not [token for token in tcp.tokens.values() if token in described]


async def test_a_token_allows_what_its_scope_says_and_no_more(
    make_spec: MakeSpec, directories: Directories
) -> None:
    host = Host()
    spec = worker(make_spec, "sleep", "60")
    async with controlled(spec, directories=directories, spec=ON_TCP, host=host) as client:
        await client.supervisor.wait_ready(timeout=20)
        tcp = over_tcp(client)
        for method, target, scopes in (
            ("GET", "/v1/servers/fake", ["read", "operate", "connect"]),
            ("POST", "/v1/servers/fake/start", ["operate", "connect"]),
            ("POST", "/v1/shutdown", ["operate", "connect"]),
            ("GET", "/v1/servers/fake/connection", ["connect"]),
        ):
            for scope in tcp.tokens:
                answer = await tcp.ask(target, scope, method)
                if scope in scopes:
                    assert answer.status in {200, 202}, (target, scope)
                else:
                    assert (answer.status, answer.kind) == (403, "not_allowed"), (target, scope)
        assert host.ended == 2


async def test_who_guesses_tokens_has_to_wait(directories: Directories) -> None:
    async with controlled(directories=directories, spec=ON_TCP) as client:
        tcp = over_tcp(client)
        await tcp.ask("/v1")
        begin = time.monotonic()
        guesses = [tcp.ask("/v1", None, Authorization="Bearer x") for _ in range(6)]
        assert {answer.kind for answer in await asyncio.gather(*guesses[:5])} == {"wrong_token"}
        assert time.monotonic() - begin < 0.9
        late = asyncio.create_task(guesses[5])
        assert (await tcp.ask("/v1")).status == 200  # who has a token does not wait
        assert (await late).kind == "wrong_token"
        assert time.monotonic() - begin >= 1


# -- pages of other sites --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.2:{port}",
        "[::1]:{port}",
    ],
)
async def test_a_request_for_another_host_is_refused(directories: Directories, host: str) -> None:
    async with controlled(directories=directories, spec=ON_TCP) as client:
        tcp = over_tcp(client)
        for target in ("/v1", "/livez"):
            answer = await tcp.ask(target, Host=host.format(port=tcp.port))
            assert (answer.status, answer.kind) == (421, "wrong_host")
        assert (await tcp.ask("/v1", Host=f"LocalHost:{tcp.port}")).status == 200


async def test_a_request_without_a_host_is_refused(directories: Directories) -> None:
    async with controlled(directories=directories, spec=ON_TCP) as client:
        tcp = over_tcp(client)
        assert (await tcp.ask("/v1", Host="")).kind == "malformed"  # HTTP/1.1 requires one
        token = f"Authorization: Bearer {tcp.tokens['read']}"
        answer = await asyncio.to_thread(tcp.send, f"GET /v1 HTTP/1.0\r\n{token}\r\n\r\n".encode())
        assert parsed(answer).kind == "wrong_host"


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
async def test_a_request_of_a_page_of_another_site_is_refused(
    directories: Directories, header: dict[str, str]
) -> None:
    async with controlled(directories=directories, spec=ON_TCP) as client:
        tcp = over_tcp(client)
        sent = {name: value.format(port=tcp.port) for name, value in header.items()}
        for method, target in (("GET", "/v1"), ("OPTIONS", "/v1"), ("GET", "/livez")):
            answer = await tcp.ask(target, "read", method, b"", **sent)
            assert (answer.status, answer.kind) == (403, "not_allowed")
            assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_page_of_our_own_is_answered(directories: Directories) -> None:
    async with controlled(directories=directories, spec=ON_TCP) as client:
        tcp = over_tcp(client)
        for site, origin in (("same-origin", tcp.url), ("none", f"http://localhost:{tcp.port}")):
            answer = await tcp.ask("/v1", Sec_Fetch_Site=site, Origin=origin)
            assert answer.status == 200
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            forbidden = ("access-control", "set-cookie", "location")
            assert not [name for name in answer.headers if name.startswith(forbidden)]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"])
async def test_a_form_of_a_page_commands_nothing(directories: Directories, kind: str) -> None:
    host = Host()
    async with controlled(directories=directories, spec=ON_TCP, host=host) as client:
        tcp = over_tcp(client)
        site = "https://evil.example"
        page = await tcp.ask("/v1/shutdown", None, "POST", b"force=1", Content_Type=kind, Origin=site)
        assert page.status == 403
        # Not even what knows the token, and says nothing of where it comes from.
        answer = await tcp.ask("/v1/shutdown", "operate", "POST", b"force=1", Content_Type=kind)
        assert (answer.status, answer.kind, host.ended) == (415, "media_type", 0)


# -- where it listens ------------------------------------------------------------------------------


async def test_without_tcp_nothing_listens_there(directories: Directories) -> None:
    async with controlled(directories=directories) as client:
        description = await asyncio.to_thread(Path(client.control.socket).with_suffix(".json").read_text)
        assert '"tcp": null' in description


async def test_it_listens_on_loopback_alone_and_no_longer_than_the_control(directories: Directories) -> None:
    async with controlled(directories=directories, spec=ON_TCP) as client:
        tcp = over_tcp(client)
        await tcp.ask("/v1")
        await client.control.__aexit__(None, None, None)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", tcp.port))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"tcp": "0.0.0.0:0"}, 'control.tcp: "0.0.0.0" may be reached from outside'),
        ({"tcp": "box.example:80"}, "may be reached from outside"),
        ({"tcp": "0.0.0.0:0", "expose": True}, "control.expose: what others can reach needs TLS"),
        (
            {"tcp": "127.0.0.1:0", "certificate_file": "/x"},
            "it needs its private key",
        ),
        ({"tcp": "127.0.0.1:0", "key_file": "/x"}, "control.key_file: it belongs to a certificate"),
        ({"tcp": "127.0.0.1:0", "socket": False}, "control.socket: tcp needs the socket too"),
        ({"tcp": "8080"}, "an address with a port"),
    ],
)
def test_what_others_could_reach_is_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        ControlSpec(**spec)
    assert message in str(caught.value)
