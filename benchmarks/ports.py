"""What a line of output costs in regex-port: microseconds, without and with an announcement."""

from __future__ import annotations

import time
from pathlib import Path

from hostler_plugins.regex_port import RegexPort

LINES = Path(__file__).parent.parent / "tests" / "integration" / "plugins"
ORDINARY = [
    "2024-03-05 10:11:12,345 INFO worker 3 processed 1200 items in 25 ms",
    "[10:11:12] GET /index.html 200 in 12ms",
    "Compiled successfully in 1234 ms (4096 modules)",
    "    at Server.handle (/srv/app/node_modules/lib/server.js:193:43)",
    "Warning: OPENCODE_SERVER_PASSWORD is not set; server is unsecured.",
    "loading configuration",
]


def microseconds(lines: list[str], rounds: int = 50) -> float:
    plugin = RegexPort()
    best = float("inf")

    for _ in range(5):
        started = time.perf_counter()
        for _ in range(rounds):
            for line in lines:
                plugin.parse_port(line, "stdout")
        best = min(best, time.perf_counter() - started)

    return best / rounds / len(lines) * 1e6


def main() -> None:
    silent = (LINES / "lines_silent.txt").read_text("utf-8").splitlines()
    announced = (LINES / "lines_announced.txt").read_text("utf-8").splitlines()
    print(f"ordinary lines       {microseconds(ORDINARY):8.1f} us per line")
    print(f"misleading lines     {microseconds(silent):8.1f}")
    print(f"announcements        {microseconds([line.partition(chr(9))[2] for line in announced]):8.1f}")
    print(f"8 KiB of addresses   {microseconds(['[::1]:80,' * 910], rounds=2):8.1f}")


if __name__ == "__main__":
    main()
