"""A worker that says when it is ready and that it lives, as to systemd: configs/worker.toml keeps it.

Only the socket that NOTIFY_SOCKET names is needed; without it the worker works all the same.
"""

import os
import socket
import time

STEPS = 3
WORK = 1.0  # seconds


def notify(*lines: str) -> None:
    """Say something to whoever keeps this process: sd_notify(3) in four lines."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
            ours.sendto("\n".join(lines).encode(), path)


def main() -> None:
    """Warm up, and then work for ever."""
    for step in range(1, STEPS + 1):
        notify(f"STATUS=warming up, step {step} of {STEPS}")
        time.sleep(0.2)
    notify("READY=1", "STATUS=waiting for work")
    print("the worker is ready", flush=True)
    while True:
        time.sleep(WORK)
        notify("WATCHDOG=1")


if __name__ == "__main__":
    main()
