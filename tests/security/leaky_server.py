"""A server that lets out every secret it was given: `leaky_server.py PORT SECONDS_TO_LIVE NAME...`.

It prints them whole, in pieces, slowly, in JSON, in an Authorization header, puts them into error pages and
events, and dies with them on its lips. Its first answer on /event is an error, its later ones are streams.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, LIFE, NAMES = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
SECRETS = {name: os.environ[name] for name in NAMES if name in os.environ}
PASSWORD = os.environ.get("OPENCODE_SERVER_PASSWORD", "")
BASIC = base64.b64encode(f"opencode:{PASSWORD}".encode()).decode()
FILLING = "so it went on and on " * 30


def write(number: int, text: str) -> None:
    data = text.encode()
    while data:
        data = data[os.write(number, data) :]


def let_out(number: int) -> None:
    for name, secret in SECRETS.items():
        write(number, f"{name}={secret}\n{name!r}: {secret!r}\n{json.dumps({name: secret})}\n")
        write(number, f"{name} is {secret[: len(secret) // 2]}")
        time.sleep(0.01)
        write(number, f"{secret[len(secret) // 2 :]}, all of it\n")
    write(number, f"Authorization: Basic {BASIC}\n")


def let_out_slowly(number: int) -> None:
    """In small pieces with pauses, at the end of what is read at once, and byte by byte."""
    for name, secret in SECRETS.items():
        write(number, f"{FILLING * 110}{name} is "[-65536 + len(secret) // 2 :])
        write(number, f"{secret} behind much else\n")
        for byte in secret:
            write(number, byte)
        write(number, "\n")

    for start in range(0, len(next(iter(SECRETS.values()))), 5):
        write(number, next(iter(SECRETS.values()))[start : start + 5])
        time.sleep(0.06)  # longer than hostler waits for the rest

    write(number, "\n")


class Answers(BaseHTTPRequestHandler):
    asked = 0

    def log_message(self, format: str, *args: object) -> None:
        write(2, f"{self.requestline} {self.headers}\n")

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != f"Basic {BASIC}":
            self.error(401, f"the password is {PASSWORD}")
        elif self.path != "/event":
            self.error(404, "; ".join(SECRETS.values()))
        elif Answers.asked < len(SECRETS):
            Answers.asked += 1
            secret = list(SECRETS.values())[Answers.asked - 1]
            self.error(500, (FILLING + secret)[-480 - len(secret) // 2 :] if Answers.asked % 2 else secret)
        else:
            self.stream()

    def error(self, status: int, text: str) -> None:
        body = json.dumps({"message": text}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Secret", " ".join(text.split()))
        self.end_headers()
        self.wfile.write(body)

    def stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()

        for secret in ("server.connected", *SECRETS.values()):
            self.wfile.write(f"data: {json.dumps({'type': secret})}\n\n".encode())
            self.wfile.flush()

        time.sleep(LIFE)
        let_out(2)
        os._exit(3)


let_out(1)
let_out(2)
let_out_slowly(1)
server = ThreadingHTTPServer(("127.0.0.1", PORT), Answers)
write(1, f"leaky server listening on http://127.0.0.1:{PORT}\n")
threading.Thread(target=server.serve_forever, daemon=True).start()
time.sleep(300)
