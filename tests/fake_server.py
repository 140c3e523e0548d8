"""A small HTTP server to be started as a real child process: `python tests/fake_server.py [switches]`.

Every switch is one way in which real servers behave or misbehave. In this order: --touch, --print-env,
--print, --decoy, children, bind, listen, announce, --flood, --unfinished, --close-pipes; then it serves.
Standard library only; it starts in about 40 ms.
"""

from __future__ import annotations

import argparse
import base64
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
import zlib

COLOR = "\x1b[32m"
PLAIN = "\x1b[0m"
CHILD_SECONDS = 300.0
STREAM_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
REASONS = {"200": "OK", "302": "Found", "401": "Unauthorized", "404": "Not Found"}


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    add_listening(parser)
    add_announcing(parser)
    add_answering(parser)
    add_ending(parser)
    add_children(parser)
    add_output(parser)
    return parser.parse_args(argv)


def add_listening(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=0, help="0: any")
    parser.add_argument("--host", "--hostname", default="127.0.0.1")
    parser.add_argument("--listen-delay", type=float, metavar="S", help="announce first, listen S later")
    parser.add_argument("--no-listen", action="store_true", help="bind, announce, never listen")


def add_announcing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--announce", default="fake server listening on {url}", help="{url} {host} {port}")
    parser.add_argument("--announce-stream", choices=["stdout", "stderr"], default="stdout")
    parser.add_argument("--announce-delay", type=float, default=0.0, metavar="S")
    parser.add_argument("--announce-split", action="store_true", help="in two writes, cut inside the port")
    parser.add_argument("--announce-color", action="store_true", help="ANSI codes, also before the port")
    parser.add_argument("--no-announce", action="store_true")
    parser.add_argument("--decoy", action="append", default=[], metavar="TEXT", help="a line before it")


def add_answering(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--events",
        action="append",
        nargs="+",
        default=[],
        metavar=("MODE", "ARGUMENT"),
        help="what GET /event does; the n-th use is for the n-th request, the last one for all that follow: "
        "ok, silent (headers only), stall (first event, then nothing), end-after N, reset-after N, "
        "burst N (N events at once), refuse (reset, no answer), status CODE, html, redirect, never-headers, "
        "slow-headers (one byte each 0.1 s), slow-event (the same), gzip, retry-after SECONDS (503), "
        "retry-date SECONDS (the same, as a date), large N (first event, then one of N bytes), "
        "endless (first event, then a line without end), unlisten (first event, reset, no longer listening)",
    )
    parser.add_argument("--event-path", default="/event")
    parser.add_argument("--events-delay", type=float, default=0.0, metavar="S", help="before any answer")
    parser.add_argument("--first", default='{"type":"server.connected","properties":{}}', metavar="DATA")
    parser.add_argument("--heartbeat", type=float, metavar="S", help="seconds between heartbeats")
    parser.add_argument("--heartbeat-kind", choices=["event", "comment"], default="event")
    parser.add_argument("--no-chunks", action="store_true", help="a stream that ends with the connection")
    parser.add_argument("--body", default="", help="of --events status CODE")
    parser.add_argument("--password", help='HTTP basic, user "opencode", on everything')
    parser.add_argument("--password-from-env", action="store_true", help="OPENCODE_SERVER_PASSWORD")
    parser.add_argument("--log-requests", action="store_true", help="request METHOD PATH; stream closed")


def add_ending(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ignore-term", action="store_true")
    parser.add_argument("--term-delay", type=float, metavar="S", help="seconds from SIGTERM to the end")
    parser.add_argument("--term-waits-for-streams", action="store_true", help="ends when no stream is open")
    parser.add_argument("--exit-on-stop", type=int, metavar="N", help="SIGTERM: exit N, not die of it")
    parser.add_argument("--exit-after", type=float, metavar="S", help="0: before listening")
    parser.add_argument("--exit-code", type=int, metavar="N")
    parser.add_argument("--exit-signal", type=int, metavar="N", help="instead of an exit code")
    parser.add_argument("--crash-when-ready", type=float, metavar="S", help="S after the first event")


def add_children(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spawn-child", action="store_true", help='in this group; prints "child PID"')
    parser.add_argument("--spawn-session-child", action="store_true", help="in a session of its own")
    parser.add_argument("--double-fork-child", action="store_true", help="own session, parent gone")
    parser.add_argument("--children-ignore-term", action="store_true")


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--touch", metavar="FILE", help='append "monotonic_ns pid" at the start')
    parser.add_argument("--print", action="append", default=[], metavar="TEXT", dest="lines")
    parser.add_argument("--print-error", action="append", default=[], metavar="TEXT", help="on stderr")
    parser.add_argument("--print-env", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--print-secret-split", nargs="?", const="OPENCODE_SERVER_PASSWORD", metavar="NAME")
    parser.add_argument("--flood", type=int, default=0, metavar="BYTES", help="100-byte numbered lines")
    parser.add_argument("--unfinished", metavar="TEXT", help="last output, without a line end")
    parser.add_argument("--close-pipes", action="store_true")
    parser.add_argument("--allocate", type=int, default=0, metavar="BYTES", help="of resident memory")


def write(text: str, stream: str = "stdout") -> None:
    data = text.encode()
    number = 2 if stream == "stderr" else 1

    while data:
        data = data[os.write(number, data) :]


def say(text: str) -> None:
    try:
        write(text + "\n")
    except OSError:  # a server whose reader is gone goes on serving
        return


def write_in_two(text: str, cut: int, stream: str = "stdout") -> None:
    write(text[:cut], stream)
    time.sleep(0.1)
    write(text[cut:], stream)


def print_early(options: argparse.Namespace) -> None:
    if options.touch:
        with open(options.touch, "a") as file:  # noqa: PTH123 - pathlib would cost 10 ms of start-up
            file.write(f"{time.monotonic_ns()} {os.getpid()}\n")

    for name in options.print_env:
        write(f"{name}={os.environ[name]}\n" if name in os.environ else f"{name} is unset\n")

    if options.print_secret_split:
        secret = os.environ.get(options.print_secret_split, "")
        write_in_two(f"the password is {secret}\n", len("the password is ") + len(secret) // 2)

    for line in options.lines:
        write(line + "\n")

    for line in options.print_error:
        write(line + "\n", "stderr")

    for line in options.decoy:
        write(line + "\n", options.announce_stream)


def announce(options: argparse.Namespace, port: int) -> None:
    time.sleep(options.announce_delay)
    host = f"[{options.host}]" if ":" in options.host else options.host
    colored = f"{COLOR}{port}{PLAIN}" if options.announce_color else str(port)
    text = options.announce.format(url=f"http://{host}:{colored}", host=options.host, port=colored) + "\n"

    if options.announce_split:
        write_in_two(text, text.find(str(port)) + 2, options.announce_stream)
    else:
        write(text, options.announce_stream)


def print_late(options: argparse.Namespace) -> None:
    for number in range(options.flood // 100):
        write(f"line {number:010d} ".ljust(99, "x") + "\n")

    if options.unfinished is not None:
        write(options.unfinished)

    if options.close_pipes:
        os.close(1)
        os.close(2)


def sleep_as_child(options: argparse.Namespace) -> None:
    if options.children_ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    say(f"child {os.getpid()}")
    time.sleep(CHILD_SECONDS)
    os._exit(0)


def spawn_children(options: argparse.Namespace) -> None:
    if options.spawn_child and os.fork() == 0:
        sleep_as_child(options)

    if options.spawn_session_child and os.fork() == 0:
        os.setsid()
        sleep_as_child(options)

    if options.double_fork_child:
        middle = os.fork()

        if middle == 0:
            os.setsid()

            if os.fork() == 0:
                sleep_as_child(options)

            os._exit(0)

        os.waitpid(middle, 0)


def end(options: argparse.Namespace, default: int) -> None:
    if options.exit_signal is not None:
        signal.signal(options.exit_signal, signal.SIG_DFL) if options.exit_signal != signal.SIGKILL else None
        os.kill(os.getpid(), options.exit_signal)
        time.sleep(CHILD_SECONDS)

    os._exit(default if options.exit_code is None else options.exit_code)


class FakeServer:
    """Answers on threads; the main thread is left to signals and timers."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.password = options.password
        self.requests = 0
        self.streams = 0
        self.lock = threading.Lock()

        if options.password_from_env:
            self.password = os.environ.get("OPENCODE_SERVER_PASSWORD")

    def bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.options.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        try:
            listener.bind((self.options.host, self.options.port))
        except OSError as error:
            write(f"Failed to start server. Is port {self.options.port} in use? ({error})\n", "stderr")
            os._exit(1)

        return listener

    def accept(self, listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:  # it was shut down
                return

            threading.Thread(target=self.answer, args=(peer,), daemon=True).start()

    def answer(self, peer: socket.socket) -> None:
        with peer:
            try:
                self.respond(peer, self.read_request(peer))
            except OSError:
                return

    def read_request(self, peer: socket.socket) -> list[str]:
        data = b""

        while b"\r\n\r\n" not in data:
            piece = peer.recv(65536)

            if not piece:
                raise ConnectionError

            data += piece

        return data.decode("latin-1").split("\r\n")

    def respond(self, peer: socket.socket, request: list[str]) -> None:
        method, target, _ = request[0].split(" ", 2)
        path = target.partition("?")[0]
        json = "application/json"

        if self.options.log_requests:
            say(f"request {method} {target}")

        if not self.allowed(request):
            self.send(
                peer, "401", json, '{"error":"unauthorized"}', 'WWW-Authenticate: Basic realm="fake"\r\n'
            )
        elif path == self.options.event_path:
            self.answer_events(peer)
        elif path == "/global/health":
            self.send(peer, "200", json, '{"healthy":true,"version":"0.0.0"}')
        elif path == "/config":
            self.send(peer, "200", json, "{}")
        elif method == "POST" and path == "/global/dispose":
            self.send(peer, "200", json, "true")
        else:
            self.send(peer, "404", json, '{"error":"not found"}')

    def allowed(self, request: list[str]) -> bool:
        if self.password is None:
            return True

        token = base64.b64encode(f"opencode:{self.password}".encode()).decode()
        return any(line.lower() == f"authorization: basic {token}".lower() for line in request[1:])

    def send(self, peer: socket.socket, status: str, content_type: str, body: str, extra: str = "") -> None:
        reason = REASONS.get(status, "Some Reason")
        head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\n{extra}"
        length = len(body.encode())
        peer.sendall(f"{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}".encode())

    def next_mode(self) -> list[str]:
        modes: list[list[str]] = self.options.events or [["ok"]]

        with self.lock:
            self.requests += 1
            return modes[min(self.requests, len(modes)) - 1]

    def answer_events(self, peer: socket.socket) -> None:
        mode, *arguments = self.next_mode()
        time.sleep(self.options.events_delay)

        if mode == "refuse":
            reset(peer)
        elif mode == "status":
            self.send(peer, arguments[0], "application/json", self.options.body)
        elif mode == "html":
            self.send(peer, "200", "text/html; charset=utf-8", "<!doctype html><title>app</title>")
        elif mode == "redirect":
            self.send(peer, "302", "text/plain", "", "Location: /elsewhere\r\n")
        elif mode == "never-headers":
            self.idle(peer, None)
        elif mode == "slow-headers":
            self.trickle(peer, b"HTTP/1.1 200 OK\r\nX-Slow: ")
        elif mode == "slow-event":
            self.trickle(peer, f"{STREAM_HEAD}\r\ndata: ".encode())
        elif mode == "gzip":
            peer.sendall(f"{STREAM_HEAD}Content-Encoding: gzip\r\n\r\n".encode())
            peer.sendall(zlib.compress(f"data: {self.options.first}\n\n".encode(), wbits=31))
        elif mode in {"retry-after", "retry-date"}:
            self.busy(peer, mode, float(arguments[0]))
        else:
            self.stream(peer, mode, arguments)

    def busy(self, peer: socket.socket, mode: str, seconds: float) -> None:
        at = time.gmtime(time.time() + seconds)
        after = f"{seconds:.0f}" if mode == "retry-after" else time.strftime("%a, %d %b %Y %H:%M:%S GMT", at)
        self.send(peer, "503", "application/json", self.options.body, f"Retry-After: {after}\r\n")

    def trickle(self, peer: socket.socket, begin: bytes) -> None:
        peer.sendall(begin)

        while not self.idle(peer, 0.1):
            peer.sendall(b"x")

    def stream(self, peer: socket.socket, mode: str, arguments: list[str]) -> None:
        with self.lock:
            self.streams += 1

        try:
            self.send_events(peer, mode, int(arguments[0]) if arguments else 0)
        finally:
            with self.lock:
                self.streams -= 1

            if self.options.log_requests:
                say("stream closed")

    def send_events(self, peer: socket.socket, mode: str, count: int) -> None:
        head = STREAM_HEAD
        head += "\r\n" if self.options.no_chunks else "Transfer-Encoding: chunked\r\n\r\n"
        peer.sendall(head.encode())

        if mode != "silent" and (mode not in {"end-after", "reset-after"} or count):
            self.send_chunk(peer, f"data: {self.options.first}\n\n")
            self.crash_later()

        if mode in {"end-after", "reset-after", "burst"} and count > 1:
            self.send_chunk(peer, "".join(numbered_event(n) for n in range(1, count)))

        if mode == "large":
            self.send_chunk(peer, f"data: {'x' * count}\n\n")
        elif mode == "endless":
            self.send_chunk(peer, "data: ")

        while mode == "endless":
            self.send_chunk(peer, "x" * 65536)

        if mode == "unlisten":
            self.options.listener.shutdown(socket.SHUT_RDWR)

        if mode in {"reset-after", "unlisten"}:
            time.sleep(0.1)  # a reset at once would also discard what is still on its way
            reset(peer)
        elif mode in {"silent", "stall"}:
            self.idle(peer, None)
        elif mode == "end-after":
            self.send_chunk(peer, "")
        else:
            self.beat(peer)

    def send_chunk(self, peer: socket.socket, text: str) -> None:
        data = text.encode()
        peer.sendall(data if self.options.no_chunks else b"%x\r\n%s\r\n" % (len(data), data))

    def beat(self, peer: socket.socket) -> None:
        frame = ": heartbeat\n\n"

        if self.options.heartbeat_kind == "event":
            frame = 'data: {"type":"server.heartbeat","properties":{}}\n\n'

        while not self.idle(peer, self.options.heartbeat):
            self.send_chunk(peer, frame)

    def idle(self, peer: socket.socket, seconds: float | None) -> bool:
        """Wait; whether the client is gone."""
        readable, _, _ = select.select([peer], [], [], seconds)
        return bool(readable) and not peer.recv(65536)

    def crash_later(self) -> None:
        if self.options.crash_when_ready is not None:
            timer = threading.Timer(self.options.crash_when_ready, end, (self.options, 1))
            timer.daemon = True
            timer.start()

    def on_term(self, *_: object) -> None:
        if self.options.ignore_term:
            return

        time.sleep(self.options.term_delay or 0.0)

        while self.options.term_waits_for_streams and self.streams:
            time.sleep(0.02)

        if self.options.exit_on_stop is not None or self.options.term_waits_for_streams:
            os._exit(self.options.exit_on_stop or 0)

        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


def numbered_event(number: int) -> str:
    return f'id: {number}\ndata: {{"type":"test.event","properties":{{"number":{number}}}}}\n\n'


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def main() -> None:
    options = parse(sys.argv[1:])
    started = time.monotonic()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    print_early(options)
    spawn_children(options)
    server = FakeServer(options)
    if changes_term(options):
        signal.signal(signal.SIGTERM, server.on_term)

    ballast = b"x" * options.allocate

    if options.exit_after == 0:
        end(options, 0)

    serve(server, options)

    if options.exit_after is not None:
        time.sleep(max(0.0, started + options.exit_after - time.monotonic()))
        end(options, 0)

    while len(ballast) == options.allocate:
        signal.pause()


def changes_term(options: argparse.Namespace) -> bool:
    delayed = options.term_delay is not None or options.exit_on_stop is not None
    return delayed or options.ignore_term or options.term_waits_for_streams


def serve(server: FakeServer, options: argparse.Namespace) -> None:
    listener = options.listener = server.bind()  # one that is collected would free the port

    if options.listen_delay is None and not options.no_listen:
        listen(server, listener)

    if not options.no_announce:
        announce(options, listener.getsockname()[1])

    if options.listen_delay is not None and not options.no_listen:
        time.sleep(options.listen_delay)
        listen(server, listener)

    print_late(options)


def listen(server: FakeServer, listener: socket.socket) -> None:
    listener.listen(128)
    threading.Thread(target=server.accept, args=(listener,), daemon=True).start()


if __name__ == "__main__":
    main()
