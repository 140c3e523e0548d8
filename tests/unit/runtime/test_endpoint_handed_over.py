"""The port that hostler handed over and that the server listens at is its endpoint, whatever it prints."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from hostler import Directories, Endpoint, EndpointFound, Event, ServerSpec, Supervisor, hookimpl
from hostler.config.load import from_dict
from hostler.model.spec import PluginSpec
from specs import QUICK

# Listens at each address that is named (0: any port), prints the lines, and waits. The lines "wait SECONDS"
# and "open ADDRESS" are done and not printed.
LISTENS = """
import socket, sys, time
ports = []
def listen(word):
    host, port = word.rsplit(":", 1)
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((host, int(port)))
    one.listen()
    ports.append(one)
for word in sys.argv[1].split():
    listen(word)
for line in sys.argv[2:]:
    if line.startswith("wait "):
        time.sleep(float(line[5:]))
    elif line.startswith("open "):
        listen(line[5:])
    else:
        print(line.format(*(one.getsockname()[1] for one in ports)), flush=True)
time.sleep(300)
"""


def spec(bound: str, *lines: str, **fields: object) -> ServerSpec:
    """A server with regex-port; `{0}` in a line is the first port that it listens at."""
    command = [sys.executable, "-I", "-S", "-c", LISTENS, bound, *lines]
    table: dict[str, Any] = {"command": command, "plugins": {"regex-port": True}, "startup_timeout": "20s"}
    return from_dict({"servers": {"web": table | fields}}, base=Path.cwd()).servers["web"]


async def found(given: ServerSpec, directories: Directories, *, elsewhere: bool = False) -> EndpointFound:
    """Where it is found: at the port that stands in its command, where one does, unless `elsewhere`."""
    events: list[Event] = []

    async with Supervisor(given, directories=directories) as supervisor:
        supervisor.listen(events.append)
        await supervisor["web"].wait_ready(30)
        (one,) = [event for event in events if isinstance(event, EndpointFound)]
        port = supervisor["web"]._engine.run.launch.port  # type: ignore[union-attr]
        handed_over = one.endpoint.port == port
        host = one.endpoint.reachable_host
        socket.create_connection((host, one.endpoint.port), 1).close()
        assert handed_over is ("${server.port}" in " ".join(given.command) and not elsewhere)
        return one


ASKED = "127.0.0.1:${server.port}"


@pytest.mark.parametrize("lines", [(), ("Serveur prêt",), ("listening on http://127.0.0.1:1",)])
async def test_a_port_that_was_handed_over_and_is_listened_at_needs_no_announcement(
    lines: tuple[str, ...], directories: Directories
) -> None:
    one = await found(spec(ASKED, *lines), directories)
    assert (one.endpoint.host, one.source) == ("127.0.0.1", "configuration")


@pytest.mark.parametrize(
    "lines",
    [
        ("gRPC server listening on 127.0.0.1:{1}", "wait 0.05", "listening on http://127.0.0.1:{0}"),
        ("listening on http://127.0.0.1:{0}", "gRPC server listening on 127.0.0.1:{1}"),
        ("gRPC server listening on 127.0.0.1:{1}",),
    ],
)
async def test_it_wins_over_another_port_that_the_server_announces(
    lines: tuple[str, ...], directories: Directories
) -> None:
    await found(spec(f"{ASKED} 127.0.0.1:0", *lines), directories)


async def test_a_server_that_never_stops_printing_is_found_where_it_listens(directories: Directories) -> None:
    await found(spec(ASKED, *("tick", "wait 0.1") * 60, startup_timeout="3s"), directories)


@pytest.mark.parametrize("later", [("wait 0.3", "open 127.0.0.1:0", "up at: http://127.0.0.1:{1}"), ()])
async def test_a_debugger_is_taken_for_the_server_only_where_nothing_else_is_announced(
    later: tuple[str, ...], directories: Directories
) -> None:
    lines = ("Debugger listening on ws://127.0.0.1:{0}/0b1c2d3e", *later)
    one = await found(spec("127.0.0.1:0", *lines, startup_timeout="3s"), directories)
    assert one.endpoint.scheme == ("http" if later else "ws")


async def test_it_wins_over_another_port_that_is_announced_before_it_is_listened_at(
    directories: Directories,
) -> None:
    lines = (
        "Proxy server listening on 127.0.0.1:{0}",
        "wait 0.7",
        f"open {ASKED}",
        "up at: http://localhost:{1}",
    )
    await found(spec("127.0.0.1:0", *lines), directories)


async def test_a_server_that_listens_elsewhere_than_it_was_told_is_found_by_what_it_announces(
    directories: Directories,
) -> None:
    lines = ("not at ${server.port}", "listening on http://127.0.0.1:{0}")
    one = await found(spec("127.0.0.1:0", *lines), directories, elsewhere=True)
    assert one.source == "regex-port"


async def test_a_server_that_was_handed_no_port_is_found_by_what_it_announces(
    directories: Directories,
) -> None:
    one = await found(spec("127.0.0.1:0", "listening on http://127.0.0.1:{0}"), directories)
    assert one.source == "regex-port"


NEAR, FAR = "Local: http://localhost:{0}/", "Network: http://192.0.2.7:{0}/"


@pytest.mark.parametrize("handed_over", [True, False])
@pytest.mark.parametrize(
    "lines", [(NEAR, FAR), (FAR, NEAR), (FAR,), (FAR, "wait 0.2", NEAR), (NEAR, FAR, FAR)]
)
async def test_of_several_addresses_of_a_port_none_is_taken_that_leads_off_the_machine(
    lines: tuple[str, ...], handed_over: bool, directories: Directories
) -> None:
    one = await found(spec(ASKED if handed_over else "127.0.0.1:0", *lines), directories)
    assert one.endpoint.host in {"localhost", "127.0.0.1"}


async def test_a_server_that_others_may_reach_is_connected_to_at_loopback(directories: Directories) -> None:
    open_to_all = spec("0.0.0.0:${server.port}", FAR, host="0.0.0.0", expose=True)
    assert (await found(open_to_all, directories)).endpoint.host == "127.0.0.1"


async def test_an_address_that_was_asked_for_is_kept(directories: Directories) -> None:
    asked = spec("127.0.0.5:${server.port}", "listening on http://127.0.0.5:{0}", host="127.0.0.5")
    assert (await found(asked, directories)).endpoint.host == "127.0.0.5"


@pytest.mark.parametrize("name", ["app.localhost", "mylaptop.lan"])
@pytest.mark.parametrize("bound", [ASKED, "127.0.0.1:0"])
async def test_a_name_that_is_not_resolved_is_no_obstacle(
    bound: str, name: str, directories: Directories
) -> None:
    await found(spec(bound, f"ready: http://{name}:{{0}}/"), directories)


async def test_a_server_at_the_other_kind_of_localhost_is_found(directories: Directories) -> None:
    assert (await found(spec("::1:${server.port}"), directories)).endpoint.host == "::1"


async def test_the_scheme_of_an_announcement_counts_though_the_port_is_listened_at_before(
    directories: Directories,
) -> None:
    late = spec(ASKED, "loading", "wait 0.3", "still loading", "wait 0.3", "ready: https://localhost:{0}/")
    assert (await found(late, directories)).endpoint.scheme == "https"


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (r"port=(?P<port>\d+)", "Running mode=standalone, port={0}."),
        (r'address "(?P<host>[^"]+)", port (?P<port>\d+)', 'on IPv4 address "127.0.0.1", port {0}'),
        ("", "listening on port {0}"),
        ("", "listening on tcp://127.0.0.1:{0}"),
    ],
)
async def test_the_scheme_of_the_configuration_is_used_where_the_output_tells_none(
    pattern: str, line: str, directories: Directories
) -> None:
    options = {"regex-port": {"pattern": pattern}}
    one = await found(spec(ASKED, line, scheme="redis", plugins=options), directories)
    assert (one.endpoint.scheme, one.source) == ("redis", "regex-port")


async def test_a_scheme_that_the_output_tells_is_kept(directories: Directories) -> None:
    one = await found(spec(ASKED, "listening on http://localhost:{0}", scheme="redis"), directories)
    assert one.endpoint.scheme == "http"


class Schemeless:
    """Announces a port alone, as plugins of others do."""

    @hookimpl
    def parse_port(self, line: str) -> Endpoint | None:
        port = re.search(r"door (\d+)", line)
        return Endpoint("127.0.0.1", int(port[1])) if port else None


async def test_a_plugin_that_says_no_scheme_gets_that_of_the_configuration(directories: Directories) -> None:
    plugins = (PluginSpec("doors", instance=Schemeless()),)
    command = (sys.executable, "-I", "-S", "-c", LISTENS, "127.0.0.1:${server.port}", "door {0}")
    given = ServerSpec(name="web", command=command, scheme="redis", plugins=plugins, restart=QUICK)
    assert (await found(given, directories)).endpoint.url.startswith("redis://127.0.0.1:")
