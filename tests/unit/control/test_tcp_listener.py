"""Where the control API listens over TCP: with TLS, at other loopback addresses, and where it cannot."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from pathlib import Path

import pytest
from controlled import controlled, short_folder
from hostler import ControlSpec, Directories, EnvironmentSetupFailed, Supervisor
from hostler.control.control import Control
from hostler.control.tcp_listener import TcpListener
from http_pages import self_signed
from tcp_client import TcpClient, over_tcp


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    cert, key = tmp_path / "box.pem", tmp_path / "box.key"
    self_signed(cert, key)
    return cert, key


async def test_with_a_certificate_it_speaks_tls_alone(
    directories: Directories, files: tuple[Path, Path]
) -> None:
    cert, key = files
    spec = ControlSpec(tcp="127.0.0.1:0", expose=True, certificate_file=cert, key_file=key)
    async with controlled(directories=directories, spec=spec) as client:
        trusting = ssl.create_default_context(cafile=cert)
        tcp = over_tcp(client, trusting)
        assert tcp.url == f"https://127.0.0.1:{tcp.port}"
        assert (await tcp.ask("/v1")).status == 200
        assert (await tcp.ask("/v1", None)).status == 401
        assert (await tcp.ask("/v1", Origin=f"http://127.0.0.1:{tcp.port}")).status == 403
        plain = over_tcp(client)
        assert await asyncio.to_thread(plain.send, b"GET /livez HTTP/1.0\r\n\r\n") == b""


async def test_a_name_and_an_ipv6_address_of_loopback_will_do(directories: Directories) -> None:
    async with controlled(directories=directories, spec=ControlSpec(tcp="localhost:0")) as client:
        tcp = over_tcp(client)
        assert tcp.url == f"http://localhost:{tcp.port}"
        assert (await tcp.ask("/v1", Host=f"localhost:{tcp.port}")).status == 200
    async with controlled(directories=directories, spec=ControlSpec(tcp="[::1]:0")) as client:
        tcp = over_tcp(client)
        assert tcp.url == f"http://[::1]:{tcp.port}"
        reader, writer = await asyncio.open_connection("::1", tcp.port)
        writer.write(f"GET /livez HTTP/1.0\r\nHost: [::1]:{tcp.port}\r\n\r\n".encode())
        assert (await reader.read()).startswith(b"HTTP/1.0 200 ")
        writer.close()
        with pytest.raises(ConnectionRefusedError), tcp.connected():
            pass


def test_what_listens_everywhere_is_reached_by_loopback_here(files: tuple[Path, Path]) -> None:
    cert, key = files
    spec = ControlSpec(tcp="0.0.0.0:0", expose=True, certificate_file=cert, key_file=key)
    with socket.socket() as bound:  # to loopback: nothing of a test can be reached from elsewhere
        bound.bind(("127.0.0.1", 0))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        assert TcpListener(spec, bound, tls).url == f"https://127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize(
    ("cert", "key", "reason"),
    [("box.pem", "none.key", "No such file"), ("box.key", "box.key", "PEM"), ("box.pem", "box.pem", "PEM")],
)
def test_files_that_cannot_be_used_are_named(
    files: tuple[Path, Path], cert: str, key: str, reason: str
) -> None:
    folder = files[0].parent
    spec = ControlSpec(tcp="127.0.0.1:0", certificate_file=folder / cert, key_file=folder / key)
    with pytest.raises(EnvironmentSetupFailed, match=f"{cert} with .*{key}: .*{reason}"):
        TcpListener.open(spec)


def test_localhost_that_is_no_loopback_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("192.0.2.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: elsewhere)  # of a resolver that lies
    with pytest.raises(EnvironmentSetupFailed, match="localhost is 192.0.2.1 here"):
        TcpListener.open(ControlSpec(tcp="localhost:80"))


async def test_what_cannot_be_described_is_not_offered(directories: Directories) -> None:
    with short_folder() as folder:
        environ = {"XDG_STATE_HOME": str(folder)}
        async with Supervisor([], directories=directories) as supervisor:
            spec = ControlSpec(tcp="127.0.0.1:0")
            control = Control(supervisor, configuration="x.toml", environ=environ, spec=spec)
            async with control:
                path = Path(control.socket).with_suffix(".json")
                port = TcpClient(path).port
            path.with_suffix(".read.token").mkdir()
            with pytest.raises(EnvironmentSetupFailed, match="read.token"):
                await control.__aenter__()
            assert [one.name for one in path.parent.iterdir()] == [path.with_suffix(".read.token").name]
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))


async def test_a_spec_without_a_socket_offers_nothing(directories: Directories) -> None:
    with short_folder() as folder:
        environ = {"XDG_STATE_HOME": str(folder)}
        async with Supervisor([], directories=directories) as supervisor:
            control = Control(
                supervisor, configuration="x.toml", environ=environ, spec=ControlSpec(socket=False)
            )
            async with control:
                assert control.socket == ""
                assert list(folder.iterdir()) == []


async def test_tokens_are_there_again_after_their_folder_was_removed(directories: Directories) -> None:
    async with controlled(directories=directories, spec=ControlSpec(tcp="127.0.0.1:0")) as client:
        before = over_tcp(client)
        for path in Path(client.control.socket).parent.iterdir():
            path.unlink()
        client.control.listen_again()
        again = over_tcp(client)
        assert (again.tokens, again.url) == (before.tokens, before.url)
        assert json.loads((await again.ask("/v1")).body)["api"] == 1
