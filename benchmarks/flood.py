"""How fast a flood of 100-byte lines goes through capture and log rotation, beside a bare copying loop.

    python benchmarks/flood.py [--megabytes 200] [--rounds 5] [--secrets 0]

Both copy from the same kind of child, in lease, in one run; the ratio of the medians is the figure. Every
line is numbered: lines that are lost, torn or out of order in the rotated files are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from hostler.model.launch import Sink
from hostler.process.output.capture import OutputReader
from hostler.secrets.masking import Masker
from hostler_plugins.log_rotation.sink import LogFile

LINE = 100
CHILD = """
import os, sys
count = int(sys.argv[1])
data = memoryview(b"".join(b"%011d " % n + b"x" * 87 + b"\\n" for n in range(count)))
os.write(2, b"ready")
os.read(0, 1)
sent = 0
while sent < len(data):
    sent += os.write(1, data[sent : sent + 65500])
os.write(1, b"unfinished")
"""


@dataclass
class Result:
    seconds: float
    cpu: float
    lost: int = 0
    torn: int = 0
    unordered: int = 0
    unfinished: bool = True


def child(lines: int, out: int) -> subprocess.Popen[bytes]:
    """A child that has prepared its output and waits for one byte."""
    argv = [sys.executable, "-I", "-S", "-c", CHILD, str(lines)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.read(5)
    return process


def go(process: subprocess.Popen[bytes]) -> float:
    assert process.stdin is not None
    process.stdin.write(b"!")
    process.stdin.flush()
    return time.perf_counter()


def bare(lines: int, folder: Path) -> Result:
    """64 KiB at a time from the pipe to a file, and nothing else."""
    read, write = os.pipe()
    process = child(lines, write)
    os.close(write)
    file = os.open(folder / "bare.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    cpu = time.thread_time()
    start = go(process)

    while data := os.read(read, 65536):
        os.write(file, data)

    result = Result(time.perf_counter() - start, time.thread_time() - cpu)
    os.close(read)
    os.close(file)
    process.communicate()
    (folder / "bare.log").unlink()
    return result


async def captured(lines: int, folder: Path, secrets: int) -> Result:
    """The same child through hostler's reader, a rotated file behind it."""
    reader = OutputReader()
    log = LogFile(folder / "hostler.log", max_size=10 * 2**20, keep=1000, timestamps=False)
    log.open()
    sinks: list[Sink] = [log]
    masker = Masker(f"sk-secret-{number:020}" for number in range(secrets))
    capture = reader.open(generation=1, masker=masker, sinks=sinks, on_trouble=print, streams=("stdout",))
    out = capture.write_fd("stdout")
    assert out is not None
    process = child(lines, out)
    capture.close_write_fds()
    cpu = time.process_time()
    start = go(process)
    assert await capture.drained(120)
    result = Result(time.perf_counter() - start, time.process_time() - cpu)
    await capture.close()
    reader.close()
    process.communicate()
    check(result, folder, lines)
    return result


def check(result: Result, folder: Path, lines: int) -> None:
    """Count what is not as it was written, and remove the files."""
    files = sorted(folder.glob("hostler.log*"), key=lambda path: -int(path.suffix[1:].replace("log", "0")))
    last, seen = -1, 0

    for number, path in enumerate(files):
        *whole, rest = path.read_bytes().split(b"\n")
        result.unfinished = rest == (b"unfinished" if number == len(files) - 1 else b"")
        result.torn += not result.unfinished
        for line in whole:
            good = len(line) == LINE - 1 and line[:11].isdigit()
            result.torn += not good
            result.unordered += good and int(line[:11]) <= last
            last = int(line[:11]) if good else last
            seen += good
        path.unlink()

    result.lost = lines - seen


def shown(name: str, megabytes: float, results: list[Result]) -> float:
    speed = statistics.median(megabytes / result.seconds for result in results)
    best = max(megabytes / result.seconds for result in results)
    cpu = statistics.median(result.cpu / megabytes * 1000 for result in results)
    print(f"{name:26} {speed:7.0f} MB/s median {best:7.0f} best {cpu:6.2f} s of CPU a GB")
    return speed


def main() -> None:
    parser = argparse.ArgumentParser(
        description="A flood of 100-byte lines through capture and log rotation."
    )
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--secrets", type=int, default=0, help="how many secrets to mask")
    parser.add_argument(
        "--folder", type=Path, help="where to write the files; the default is a temporary folder"
    )
    options = parser.parse_args()
    lines = options.megabytes * 10_000
    bares, captures = [], []

    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        for _ in range(options.rounds):
            bares.append(bare(lines, Path(name)))
            captures.append(asyncio.run(captured(lines, Path(name), options.secrets)))

    floor = shown("bare read and write", options.megabytes, bares)
    speed = shown("hostler, rotation on", options.megabytes, captures)
    lost, torn, unordered = (sum(getattr(r, key) for r in captures) for key in ("lost", "torn", "unordered"))
    print(f"ratio {speed / floor:.2f}; lines lost {lost}, torn {torn}, out of order {unordered}")


if __name__ == "__main__":
    main()
