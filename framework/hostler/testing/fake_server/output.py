"""What the fake server writes: before it listens, where it listens, and after that."""

from __future__ import annotations

import argparse
import os
import time

_COLOR = "\x1b[32m"
_PLAIN = "\x1b[0m"


def write(text: str, stream: str = "stdout") -> None:
    """Write all of it, past every buffer."""
    data = text.encode()
    number = 2 if stream == "stderr" else 1
    while data:
        data = data[os.write(number, data) :]


def say(text: str) -> None:
    """Write a line, as a server that goes on serving when its reader is gone."""
    try:
        write(text + "\n")
    except OSError:
        return


def print_early(options: argparse.Namespace) -> None:
    """Whatever is printed before anything else is done."""
    if options.touch:
        with open(options.touch, "a") as file:  # noqa: PTH123 - pathlib would cost 10 ms of start-up
            file.write(f"{time.monotonic_ns()} {os.getpid()}\n")

    for name in options.print_env:
        write(f"{name}={os.environ[name]}\n" if name in os.environ else f"{name} is unset\n")

    if options.print_secret_split:
        secret = os.environ.get(options.print_secret_split, "")
        _write_in_two(f"the password is {secret}\n", len("the password is ") + len(secret) // 2)

    for line in options.lines:
        write(line + "\n")

    for line in options.print_error:
        write(line + "\n", "stderr")

    for line in options.decoy:
        write(line + "\n", options.announce_stream)


def announce(options: argparse.Namespace, port: int) -> None:
    """Say where it listens."""
    time.sleep(options.announce_delay)
    host = f"[{options.host}]" if ":" in options.host else options.host
    colored = f"{_COLOR}{port}{_PLAIN}" if options.announce_color else str(port)
    text = options.announce.format(url=f"http://{host}:{colored}", host=options.host, port=colored) + "\n"
    if options.announce_split:
        _write_in_two(text, text.find(str(port)) + 2, options.announce_stream)
    else:
        write(text, options.announce_stream)


def print_late(options: argparse.Namespace) -> None:
    """Whatever comes after the announcement."""
    for number in range(options.flood // 100):
        write(f"line {number:010d} ".ljust(99, "x") + "\n")
    if options.unfinished is not None:
        write(options.unfinished)
    if options.close_pipes:
        os.close(1)
        os.close(2)


def _write_in_two(text: str, cut: int, stream: str = "stdout") -> None:
    write(text[:cut], stream)
    time.sleep(0.1)
    write(text[cut:], stream)
