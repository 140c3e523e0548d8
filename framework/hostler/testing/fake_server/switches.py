"""The switches of the fake server: one for each way in which real servers behave or misbehave."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

_EVENTS = (
    "what GET /event does; the n-th use is for the n-th request, the last one for all that follow: "
    "ok, silent (headers only), stall (first event, then nothing), end-after N, reset-after N, "
    "burst N (N events at once), refuse (reset, no answer), status CODE, html, redirect, never-headers, "
    "slow-headers (one byte each 0.1 s), slow-event (the same), gzip, retry-after SECONDS (503), "
    "retry-date SECONDS (the same, as a date), large N (first event, then one of N bytes), "
    "endless (first event, then a line without end), unlisten (first event, reset, no longer listening)"
)
_ANSWER = (
    "what a request for PATH gets: STATUS and BODY, or nothing at all when STATUS is 0; the n-th use for a "
    "PATH is for its n-th request, the last one for all that follow"
)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the switches; a mistake ends the program."""
    parser = argparse.ArgumentParser(
        prog="fake_server",
        description="A small HTTP server whose switches are ways in which real servers behave or misbehave.",
        allow_abbrev=False,
    )
    _add_listening(parser)
    _add_announcing(parser)
    _add_answering(parser)
    _add_ending(parser)
    _add_children(parser)
    _add_output(parser)
    return parser.parse_args(argv)


def _add_listening(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=0, help="0: any")
    parser.add_argument("--host", "--hostname", default="127.0.0.1")
    parser.add_argument("--listen-delay", type=float, metavar="S", help="announce first, listen S later")
    parser.add_argument("--no-listen", action="store_true", help="bind, announce, never listen")


def _add_announcing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--announce", default="fake server listening on {url}", help="{url} {host} {port}")
    parser.add_argument("--announce-stream", choices=["stdout", "stderr"], default="stdout")
    parser.add_argument("--announce-delay", type=float, default=0.0, metavar="S")
    parser.add_argument("--announce-split", action="store_true", help="in two writes, cut inside the port")
    parser.add_argument("--announce-color", action="store_true", help="ANSI codes, also before the port")
    parser.add_argument("--no-announce", action="store_true")
    parser.add_argument("--decoy", action="append", default=[], metavar="TEXT", help="a line before it")


def _add_answering(parser: argparse.ArgumentParser) -> None:
    repeated = {"action": "append", "default": [], "nargs": "+"}
    parser.add_argument("--answer", **repeated, metavar=("PATH", "STATUS [BODY]"), help=_ANSWER)  # type: ignore[arg-type]
    parser.add_argument("--events", **repeated, metavar=("MODE", "ARGUMENT"), help=_EVENTS)  # type: ignore[arg-type]
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


def _add_ending(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ignore-term", action="store_true")
    parser.add_argument("--term-delay", type=float, metavar="S", help="seconds from SIGTERM to the end")
    parser.add_argument("--term-waits-for-streams", action="store_true", help="ends when no stream is open")
    parser.add_argument("--exit-on-stop", type=int, metavar="N", help="SIGTERM: exit N, not die of it")
    parser.add_argument("--exit-after", type=float, metavar="S", help="0: before listening")
    parser.add_argument("--exit-code", type=int, metavar="N")
    parser.add_argument("--exit-signal", type=int, metavar="N", help="instead of an exit code")
    parser.add_argument("--crash-when-ready", type=float, metavar="S", help="S after the first event")


def _add_children(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spawn-child", action="store_true", help='in this group; prints "child PID"')
    parser.add_argument("--spawn-session-child", action="store_true", help="in a session of its own")
    parser.add_argument("--double-fork-child", action="store_true", help="own session, parent gone")
    parser.add_argument("--children-ignore-term", action="store_true")


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--touch", metavar="FILE", help='append "monotonic_ns pid" at the start')
    parser.add_argument("--print", action="append", default=[], metavar="TEXT", dest="lines")
    parser.add_argument("--print-error", action="append", default=[], metavar="TEXT", help="on stderr")
    parser.add_argument("--print-env", nargs="+", default=[], metavar="NAME")
    parser.add_argument(
        "--print-secret-split",
        nargs="?",
        const="OPENCODE_SERVER_PASSWORD",
        metavar="NAME",
        help="the value of a variable, in two writes",
    )
    parser.add_argument("--flood", type=int, default=0, metavar="BYTES", help="100-byte numbered lines")
    parser.add_argument("--unfinished", metavar="TEXT", help="last output, without a line end")
    parser.add_argument("--close-pipes", action="store_true")
    parser.add_argument("--allocate", type=int, default=0, metavar="BYTES", help="of resident memory")
