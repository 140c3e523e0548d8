"""A server to try hostler with: `python -m hostler.testing.demo_server --port 0`.

A page, an event stream with a tick each second, and a health answer; it needs nothing but Python. With
DEMO_SERVER_PASSWORD set it wants HTTP basic authentication as user "demo".
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hmac
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from hostler.concurrency.event_loop import loop_time

_REQUEST_SECONDS = 10.0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>hostler demo server</title>
<h1>hostler demo server</h1>
<p>The last events of <a href="/event">/event</a>:</p>
<ol id="events"></ol>
<script>
  const list = document.getElementById("events");
  new EventSource("/event").onmessage = (event) => {
    const item = document.createElement("li");
    item.textContent = event.data;
    list.prepend(item);
    while (list.children.length > 20) list.lastChild.remove();
  };
</script>
</html>
"""


@dataclass(frozen=True, slots=True)
class Request:
    """The head of one HTTP request; names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]


class BadRequest(Exception):
    """Raised when what came is no HTTP request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoServer:
    """What it answers. `tick` and `heartbeat` are the seconds between two events of a kind."""

    host: str = "127.0.0.1"
    password: str = field(default="", repr=False)
    tick: float = 1.0
    heartbeat: float = 10.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, and close it."""
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                request = await read_request(reader)
            await self._answer(request, writer)
        except BadRequest as error:
            send(writer, HTTPStatus.BAD_REQUEST, str(error))
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client is gone, or too slow
        except asyncio.CancelledError:
            pass  # the end of the program, which asyncio would print as an error
        finally:
            writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if not self._is_local(request):
            send(writer, HTTPStatus.FORBIDDEN, "this server answers to loopback names only")
        elif not self._is_allowed(request):
            challenge = 'WWW-Authenticate: Basic realm="hostler demo server"'
            send(writer, HTTPStatus.UNAUTHORIZED, "a password is needed", challenge)
        elif request.method != "GET":
            send(writer, HTTPStatus.METHOD_NOT_ALLOWED, "only GET is known here", "Allow: GET")
        elif request.path == "/":
            send(writer, HTTPStatus.OK, _PAGE, kind="text/html; charset=utf-8")
        elif request.path == "/global/health":
            send(writer, HTTPStatus.OK, json.dumps({"healthy": True}), kind="application/json")
        elif request.path == "/event":
            await self._stream(writer)
        else:
            send(writer, HTTPStatus.NOT_FOUND, "nothing here")

    def _is_local(self, request: Request) -> bool:
        """A page of another site that had its name changed to this address must not read the events."""
        host = request.headers.get("host", "")
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        return name.lower() in _LOOPBACK | {self.host}

    def _is_allowed(self, request: Request) -> bool:
        if not self.password:
            return True
        expected = "Basic " + base64.b64encode(f"demo:{self.password}".encode()).decode()
        given = request.headers.get("authorization", "")
        return hmac.compare_digest(given.encode(), expected.encode())

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        """Send events until the client goes; every one is complete in itself."""
        next_tick, next_beat = loop_time() + self.tick, loop_time() + self.heartbeat
        number = 0
        writer.write(head(HTTPStatus.OK, "text/event-stream", "Cache-Control: no-store"))
        writer.write(event("server.connected"))

        while True:
            await writer.drain()
            await asyncio.sleep(min(next_tick, next_beat) - loop_time())
            if loop_time() >= next_tick:
                number += 1
                next_tick += self.tick
                writer.write(event("tick", number=number))
            if loop_time() >= next_beat:
                next_beat += self.heartbeat
                writer.write(event("server.heartbeat"))


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Read the head of a request; raises BadRequest."""
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = text.rstrip("\r\n").split("\r\n")
        method, target, _ = line.split(" ")
    except (asyncio.LimitOverrunError, ValueError) as error:
        raise BadRequest("this is no HTTP request") from error

    fields = (one.partition(":") for one in rest)
    return Request(
        method, target.partition("?")[0], {name.lower(): value.strip() for name, _, value in fields}
    )


def head(status: HTTPStatus, kind: str, *more: str) -> bytes:
    """The head of an answer; the body ends with the connection, or with a Content-Length in `more`."""
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", f"Content-Type: {kind}", "Connection: close", *more]
    return "".join(f"{line}\r\n" for line in [*lines, "X-Content-Type-Options: nosniff", ""]).encode()


def send(
    writer: asyncio.StreamWriter, status: HTTPStatus, text: str, *more: str, kind: str = "text/plain"
) -> None:
    """Send a whole answer."""
    body = text.encode()
    writer.write(head(status, kind, f"Content-Length: {len(body)}", *more) + body)


def event(kind: str, **properties: object) -> bytes:
    """One event of the stream."""
    return f"data: {json.dumps({'type': kind, 'properties': properties})}\n\n".encode()


async def run(host: str, port: int) -> None:
    """Listen, say where, and serve until SIGTERM or SIGINT."""
    demo = DemoServer(host=host, password=os.environ.get("DEMO_SERVER_PASSWORD", ""))
    server = await asyncio.start_server(demo.serve, host, port)
    address, actual = server.sockets[0].getsockname()[:2]
    stopped = asyncio.Event()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)

    name = f"[{address}]" if ":" in address else address
    print(f"demo server listening on http://{name}:{actual}", flush=True)  # noqa: T201 - its announcement
    await stopped.wait()
    server.close()


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="hostler.testing.demo_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0: any free port (default)")
    options = parser.parse_args(argv)
    try:
        asyncio.run(run(options.host, options.port))
    except OSError as error:
        parser.exit(1, f"demo server: cannot listen on {options.host} port {options.port}: {error}\n")


if __name__ == "__main__":
    main()
