"""How many events a second the parser takes, beside a bare loop that only splits the same bytes.

`python benchmarks/event_stream.py [--events N]`: the rates depend on the machine, the ratios much less.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from hostler_plugins.sse_health import EventStreamParser

READ = 65536
LENGTH = 200


def padded(before: str, after: str) -> bytes:
    return (before + "x" * (LENGTH - len(before) - len(after)) + after).encode()


KINDS: dict[str, Callable[[int], bytes]] = {
    "data": lambda n: padded(f'data: {{"id":"evt_{n:08d}","text":"', '"}\n\n'),
    "id, event, data": lambda n: padded(f'id: {n}\nevent: message.part\ndata: {{"text":"', '"}\n\n'),
    "the same with CRLF": lambda n: padded(
        f'id: {n}\r\nevent: message.part\r\ndata: {{"text":"', '"}\r\n\r\n'
    ),
    "ten lines of data": lambda n: (
        "".join(f"data: {n + i:013d}\n" for i in range(10)).encode()[:-1] + b"\n\n"
    ),
}


def bare(chunks: list[bytes]) -> int:
    """What no parser can do without: cut the bytes, and keep what is not complete."""
    count, rest = 0, b""
    end = b"\r\n\r\n" if chunks[0].count(b"\r") else b"\n\n"
    for chunk in chunks:
        *blocks, rest = (rest + chunk).split(end)
        for _ in blocks:
            count += 1
    return count


def parse(chunks: list[bytes]) -> int:
    parser = EventStreamParser()
    return sum(len(parser.feed(chunk)) for chunk in chunks)


def rate(function: Callable[[list[bytes]], int], chunks: list[bytes], events: int) -> float:
    best = 0.0
    for _ in range(5):
        start = time.perf_counter()
        function(chunks)
        best = max(best, events / (time.perf_counter() - start))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    events: int = parser.parse_args().events
    print(f"{'events of 200 bytes':24}{'read in':>10}{'events/s':>14}{'bare split':>14}{'ratio':>8}")

    for name, make in KINDS.items():
        stream = b"".join(make(number) for number in range(events))
        for size in (READ, LENGTH):
            chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
            assert parse(chunks) == events
            ours, floor = rate(parse, chunks, events), rate(bare, chunks, events)
            print(f"{name:24}{size:>10,}{ours:>14,.0f}{floor:>14,.0f}{ours / floor:>8.2f}")


if __name__ == "__main__":
    main()
