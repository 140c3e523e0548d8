"""A small HTTP server to be started as a real child process: `python -m hostler.testing.fake_server --help`.

Every switch is one way in which real servers behave or misbehave. In this order: --touch, --print-env,
--print, --decoy, children, bind, listen, announce, --flood, --unfinished, --close-pipes; then it serves.
Standard library only; it starts in about 40 ms.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from os.path import abspath, dirname

# It is started without site-packages (`-I -S`), which halves the time.
sys.path.append(dirname(dirname(dirname(dirname(abspath(__file__))))))  # noqa: PTH100, PTH120 - pathlib is slow

from hostler.testing.fake_server.answers import FakeServer
from hostler.testing.fake_server.output import announce, print_early, print_late
from hostler.testing.fake_server.processes import end, spawn_children
from hostler.testing.fake_server.switches import parse


def main() -> None:
    """Serve until a signal or a switch ends it."""
    options = parse(sys.argv[1:])
    started = time.monotonic()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    print_early(options)
    spawn_children(options)
    server = FakeServer(options)

    if _changes_term(options):
        signal.signal(signal.SIGTERM, server.on_term)

    ballast = b"x" * options.allocate

    if options.exit_after == 0:
        end(options, 0)

    _serve(server, options)

    if options.exit_after is not None:
        time.sleep(max(0.0, started + options.exit_after - time.monotonic()))
        end(options, 0)

    while len(ballast) == options.allocate:
        signal.pause()


def _changes_term(options: argparse.Namespace) -> bool:
    delayed = options.term_delay is not None or options.exit_on_stop is not None
    return delayed or options.ignore_term or options.term_waits_for_streams


def _serve(server: FakeServer, options: argparse.Namespace) -> None:
    listener = options.listener = server.bind()  # one that is collected would free the port

    if options.listen_delay is None and not options.no_listen:
        server.listen(listener)

    if not options.no_announce:
        announce(options, listener.getsockname()[1])

    if options.listen_delay is not None and not options.no_listen:
        time.sleep(options.listen_delay)
        server.listen(listener)

    print_late(options)


if __name__ == "__main__":
    main()
