"""A daemon that says by itself that it is ready, and that it is alive."""

import os
import socket
import time


def notify(message: str) -> None:
    """Send a message to the socket in NOTIFY_SOCKET, as sd_notify does."""
    address = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect("\0" + address[1:] if address[0] == "@" else address)
        sender.send(message.encode())


notify("READY=1\nSTATUS=warm")
while True:
    time.sleep(2)
    notify("WATCHDOG=1")
