"""Requests to a real OpenCode server, as a client would make them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from hostler import Auth


def request(
    url: str, auth: Auth | None, *, method: str = "GET", body: object = None, timeout: float = 10
) -> tuple[int, bytes]:
    """The status and the first of the body; an answer with an error is an answer."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": auth.header} if auth else {})
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=timeout) as answer:
            return answer.status, answer.read(65536)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(65536)


def new_session(url: str, auth: Auth | None) -> str:
    status, body = request(f"{url}/session", auth, method="POST", body={})
    assert status == 200, body
    session: str = json.loads(body)["id"]
    return session


def run_in_shell(url: str, auth: Auth | None, session: str, command: str) -> None:
    """Have the shell tool run a command; the answer comes at its end, or never when the server is stopped."""
    try:
        request(
            f"{url}/session/{session}/shell",
            auth,
            method="POST",
            body={"agent": "build", "command": command},
            timeout=60,
        )
    except OSError:
        return
